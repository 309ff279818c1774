"use strict";
// A person draws, and the network of the page answers at once.

(() => {
  const place = document.getElementById("network");
  if (!place) return;
  const network = JSON.parse(place.textContent), numbers = decoded(network.numbers);
  const [, height, width] = network.shape;
  const canvas = document.getElementById("paper"), pen = canvas.getContext("2d", { willReadFrequently: true });
  const bars = [...document.querySelectorAll("#answers meter")], verdict = document.getElementById("verdict");
  const cells = [...document.querySelectorAll("#units [data-layer]")];
  let last = null;

  function cleared() {
    pen.fillStyle = "black";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    verdict.textContent = "Draw here.";
    bars.forEach((bar) => { bar.value = 0; bar.title = ""; });
    cells.forEach((cell) => { cell.style.opacity = 0.15; });
  }

  function stroke(from, to) {
    const lineWidth = canvas.width / 13;
    Object.assign(pen, { strokeStyle: "white", fillStyle: "white", lineWidth, lineCap: "round" });
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
    pen.beginPath(); // a line without length is not drawn, by the standard
    pen.arc(...to, lineWidth / 2, 0, 2 * Math.PI);
    pen.fill();
  }

  // The ink scaled into 20 of 28 pixels with its centre of mass in the middle, as MNIST's digits are; height * width numbers from 0 to 1.
  function pixels() {
    const { data } = pen.getImageData(0, 0, canvas.width, canvas.height), n = canvas.width;
    let top = n, bottom = -1, left = n, right = -1, mass = 0, meanX = 0, meanY = 0;
    for (let y = 0; y < n; y++)
      for (let x = 0; x < n; x++) {
        const ink = data[4 * (y * n + x)];
        if (ink < 32) continue;
        [top, bottom, left, right] = [Math.min(top, y), Math.max(bottom, y), Math.min(left, x), Math.max(right, x)];
        [mass, meanX, meanY] = [mass + ink, meanX + ink * (x + 0.5), meanY + ink * (y + 0.5)];
      }
    if (bottom < 0) return null;
    const scale = Math.max(bottom - top + 1, right - left + 1) / (Math.min(height, width) * 20 / 28);
    const startX = meanX / mass - scale * width / 2, startY = meanY / mass - scale * height / 2, out = [];
    const fine = 4; // samples a pixel and direction
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++) {
        let sum = 0;
        for (let each = 0; each < fine * fine; each++) {
          const x = Math.floor(startX + scale * (column + (each % fine + 0.5) / fine));
          const y = Math.floor(startY + scale * (row + (Math.floor(each / fine) + 0.5) / fine));
          if (x >= 0 && x < n && y >= 0 && y < n) sum += data[4 * (y * n + x)];
        }
        out.push(sum / (255 * fine * fine));
      }
    return out;
  }

  function answer() {
    const input = pixels();
    if (!input) return;
    const { logits, seen } = forward(network, numbers, input), shares = probabilities(logits);
    shares.forEach((share, number) => { bars[number].value = share; bars[number].title = `${(100 * share).toFixed(1)} %`; });
    const best = shares.indexOf(Math.max(...shares));
    verdict.textContent = `${network.classes[best]}, ${(100 * shares[best]).toFixed(0)} % sure`;
    for (const layer of seen) {
      const most = Math.max(...layer.values, 1e-9);
      cells.filter((cell) => cell.dataset.layer === layer.name).forEach((cell, unit) => {
        cell.style.opacity = 0.15 + 0.85 * Math.max(0, layer.values[unit]) / most;
      });
    }
  }

  const where = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    last = where(event);
    stroke(last, last);
    answer();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const here = where(event);
    stroke(last, here);
    last = here;
    answer();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { last = null; });
  document.getElementById("clear").addEventListener("click", cleared);
  document.getElementById("seven").addEventListener("click", () => {
    cleared();
    const part = (share) => share * canvas.width;
    stroke([part(0.3), part(0.25)], [part(0.7), part(0.25)]);
    stroke([part(0.7), part(0.25)], [part(0.45), part(0.78)]);
    answer();
  });
  cleared();
})();
