// Numbers as people read them: the same text as `accelerator_sim/units.py` writes.

var SECONDS = [[1, "s"], [1e-3, "ms"], [1e-6, "\u00b5s"], [1e-9, "ns"]];
var JOULES = [[1, "J"], [1e-3, "mJ"], [1e-6, "\u00b5J"], [1e-9, "nJ"], [1e-12, "pJ"]];
var BYTES = [[Math.pow(2, 40), "TiB"], [Math.pow(2, 30), "GiB"], [Math.pow(2, 20), "MiB"], [1024, "KiB"]];
var PLAIN = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

// Four significant digits, none of them after a whole number of thousands.
function digits(value) {
  if (Math.abs(value) >= 1000) { return value.toFixed(0); }
  return String(parseFloat(value.toPrecision(4)));
}

function scaled(value, units, base) {
  if (value === 0) { return "0 " + base; }
  for (var i = 0; i < units.length; i++) {
    if (Math.abs(value) >= units[i][0] * (1 - 1e-12)) { return digits(value / units[i][0]) + " " + units[i][1]; }
  }
  var last = units[units.length - 1];
  return digits(value / last[0]) + " " + last[1];
}

// Shorter stalls are the rounding of the simulator's sums.
var NOISE_S = 1e-13;

function seconds(value) { return scaled(value, SECONDS, "s"); }
function joules(value) { return scaled(value, JOULES, "J"); }
function percent(share) { return (100 * share).toFixed(1) + " %"; }
function ratio(value) { return value.toFixed(2) + "x"; }

function bytes(count) {
  for (var i = 0; i < BYTES.length; i++) {
    if (Math.abs(count) >= BYTES[i][0]) { return digits(count / BYTES[i][0]) + " " + BYTES[i][1]; }
  }
  return count.toFixed(0) + " B";
}

function number(value) {
  for (var i = 0; i < PLAIN.length; i++) {
    if (Math.abs(value) >= PLAIN[i][0]) { return digits(value / PLAIN[i][0]) + " " + PLAIN[i][1]; }
  }
  return value === 0 || Math.abs(value) >= 1e-3 ? digits(value) : value.toExponential(2);
}

function signed(value, write) {
  return (value > 0 ? "+" : value < 0 ? "\u2212" : "") + write(Math.abs(value));
}


// Text that fits, both its ends kept: names differ at their ends.
function fit(text, most) {
  var tail = Math.ceil(most * 0.65);
  return text.length <= most ? text : text.slice(0, most - tail - 1) + "\u2026" + text.slice(-tail);
}

function whole(value) { return value.toLocaleString("en-US"); }
function sum(values) { return values.reduce(function (a, b) { return a + b; }, 0); }
function plural(count, word) { return whole(count) + " " + word + (count === 1 ? "" : "s"); }
