"use strict";
// The compact network in plain JavaScript. A tensor is {data, shape: [channels, height, width] or [features]}; it lies flat in memory.

function decoded(text) { // base64 -> Float32Array, little-endian
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)), view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, place) => view.getFloat32(4 * place, true));
}

function linear(x, units, weight, bias) {
  const n = x.data.length, out = new Float32Array(units);
  for (let unit = 0; unit < units; unit++) {
    let sum = bias[unit];
    for (let place = 0; place < n; place++) sum += weight[unit * n + place] * x.data[place];
    out[unit] = sum;
  }
  return { data: out, shape: [units] };
}

function conv(x, { units, size, step, padding }, weight, bias) {
  const [channels, height, width] = x.shape;
  const rows = Math.floor((height + 2 * padding - size) / step) + 1, columns = Math.floor((width + 2 * padding - size) / step) + 1;
  const out = new Float32Array(units * rows * columns);
  for (let unit = 0; unit < units; unit++)
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        let sum = bias[unit];
        for (let channel = 0; channel < channels; channel++)
          for (let down = 0; down < size; down++)
            for (let right = 0; right < size; right++) {
              const y = row * step + down - padding, z = column * step + right - padding;
              if (y >= 0 && y < height && z >= 0 && z < width)
                sum += weight[((unit * channels + channel) * size + down) * size + right] * x.data[(channel * height + y) * width + z];
            }
        out[(unit * rows + row) * columns + column] = sum;
      }
  return { data: out, shape: [units, rows, columns] };
}

function pool(x, { size, step }) {
  const [channels, height, width] = x.shape;
  const rows = Math.floor((height - size) / step) + 1, columns = Math.floor((width - size) / step) + 1;
  const out = new Float32Array(channels * rows * columns).fill(-Infinity);
  for (let channel = 0; channel < channels; channel++)
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        const place = (channel * rows + row) * columns + column;
        for (let down = 0; down < size; down++)
          for (let right = 0; right < size; right++)
            out[place] = Math.max(out[place], x.data[(channel * height + row * step + down) * width + column * step + right]);
      }
  return { data: out, shape: [channels, rows, columns] };
}

// pixels: height * width numbers from 0 to 1. -> {logits, seen: by layer that has units, what each of them says (a channel's largest)}
function forward(network, numbers, pixels) {
  let x = { data: Float32Array.from(pixels, (value) => (value - network.mean) / network.std), shape: network.shape }, used = 0;
  const seen = [], take = (count) => numbers.subarray(used, (used += count));
  for (const layer of network.layers) {
    if (layer.kind === "linear") x = linear(x, layer.units, take(layer.units * x.data.length), take(layer.units));
    else if (layer.kind === "conv") x = conv(x, layer, take(layer.units * x.shape[0] * layer.size ** 2), take(layer.units));
    else if (layer.kind === "pool") x = pool(x, layer);
    else if (layer.kind === "relu") x = { data: x.data.map((value) => Math.max(0, value)), shape: x.shape };
    else if (layer.kind === "pick") x = { data: Float32Array.from(layer.rows, (row) => x.data[row]), shape: [layer.rows.length] };
    if (layer.kind === "linear" || layer.kind === "conv") seen.push({ name: layer.name, units: layer.units });
    const last = layer.kind === "pick" ? undefined : seen[seen.length - 1], each = last ? x.data.length / last.units : 0;
    if (last) last.values = Array.from({ length: last.units }, (_, unit) => Math.max(...x.data.subarray(unit * each, (unit + 1) * each)));
  }
  return { logits: Array.from(x.data), seen };
}

function probabilities(logits) {
  const most = Math.max(...logits), powers = logits.map((value) => Math.exp(value - most)), sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

if (typeof module !== "undefined") module.exports = { decoded, forward, probabilities };
