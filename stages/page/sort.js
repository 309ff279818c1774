"use strict";
// A column's button sorts the table by it: numbers as numbers, downwards first; again, the other way.

for (const button of document.querySelectorAll("#sortable button"))
  button.addEventListener("click", () => {
    const head = button.closest("th"), body = head.closest("table").tBodies[0], column = head.cellIndex;
    const down = head.getAttribute("aria-sort") !== "descending";
    for (const other of head.parentElement.cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.value;
    const order = (a, b) => {
      if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === ""); // what was not measured stands last
      const difference = Number.isNaN(+value(a) - +value(b)) ? value(a).localeCompare(value(b)) : value(a) - value(b);
      return down ? -difference : difference;
    };
    body.append(...[...body.rows].sort(order));
  });
