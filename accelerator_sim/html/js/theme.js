// Light and dark: the system's choice until somebody presses the button.

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

function isDark() { return document.documentElement.getAttribute("data-theme") === "dark"; }

function setTheme(dark) {
  document.documentElement.setAttribute("data-theme", dark ? "dark" : "light");
  var button = document.getElementById("theme");
  button.textContent = dark ? "Light" : "Dark";
  button.setAttribute("aria-pressed", String(dark));
  button.setAttribute("aria-label", dark ? "Switch to light colours" : "Switch to dark colours");
}

function startTheme(redraw) {
  var system = window.matchMedia("(prefers-color-scheme: dark)");
  var chosen = false, beforePrint = false;
  setTheme(system.matches);
  system.addEventListener("change", function (event) {
    if (!chosen) { setTheme(event.matches); redraw(); }
  });
  document.getElementById("theme").addEventListener("click", function () {
    chosen = true;
    setTheme(!isDark());
    redraw();
  });
  // Paper is white.
  window.addEventListener("beforeprint", function () { beforePrint = isDark(); setTheme(false); redraw(); });
  window.addEventListener("afterprint", function () { setTheme(beforePrint); redraw(); });
}

// The colour of what an op is bound by.
function boundColor(bound, tiers) {
  if (bound === "mac" || bound === "vector") { return bound; }
  for (var i = 0; i < tiers.length; i++) {
    if (bound === tiers[i].name) { return tierColor(i, tiers.length); }
  }
  return "wire";
}

// The outermost memory is always the first colour, the innermost the third, where there are three.
function tierColor(index, count) {
  if (index === 0) { return "tier0"; }
  if (index === count - 1) { return "tier2"; }
  return ["tier1", "tier3", "tier4"][Math.min(index - 1, 2)];
}

function boundName(bound) {
  return bound === "mac" ? "matrix unit" : bound === "vector" ? "vector unit" : bound;
}
