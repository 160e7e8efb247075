// Builds the page from its data.

var DATA = JSON.parse(document.getElementById("data").textContent);
var LABELS = caseLabels(DATA.cases);

function show(position) {
  var one = DATA.cases[position], head = one.headline, main = document.getElementById("content");
  stopCharts();
  main.replaceChildren();
  document.getElementById("title").textContent = head.model + " on " + head.target;
  document.getElementById("subtitle").textContent = [one.name, head.execution_type, "placed by " + head.placer].join(" \u00b7 ");
  headline(main, one);
  if (DATA.cases.length > 1) { compare(main, DATA, LABELS); }
  advice(main, one);
  timeline(main, one);
  waterfall(main, one);
  caches(main, one);
  memory(main, one);
  ops(main, one);
  roofline(main, one);
  var pair = el("div", { class: "pair" });
  main.append(pair);
  references(pair, one);
  energy(pair, one);
  target(main, one);
  document.getElementById("nav").replaceChildren.apply(document.getElementById("nav"),
    Array.from(main.querySelectorAll("section")).map(function (box) {
      return el("a", { href: "#" + box.id, text: box.querySelector("h2").textContent });
    }));
  document.getElementById("caveat").textContent = "Times are simulated, not measured: an in-order model of " + head.target
    + " whose assumed numbers are listed under Target. Compare placements with them rather than devices.";
  startCharts();
}

function start() {
  startTheme(redrawCharts);
  if (DATA.cases.length > 1) {
    var select = document.getElementById("case");
    document.getElementById("case-label").hidden = false;
    LABELS.forEach(function (label, i) { select.append(el("option", { value: String(i), text: label })); });
    select.addEventListener("change", function () { show(Number(select.value)); });
  }
  show(0);
  var waiting = null;
  window.addEventListener("resize", function () {
    clearTimeout(waiting);
    waiting = setTimeout(resizeCharts, 120);
  });
}

start();
