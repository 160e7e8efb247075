// What would help, found by placing and simulating again.

function advice(main, one) {
  if (!one.advice.length) { return; }
  var box = section(main, "advice", "What would help", "Each was found by changing one thing, placing again where that may help, and simulating. They do not add up.");
  table(box, "What would help", [
    { label: "Latency", num: true, value: function (entry) { return entry.change; },
      show: function (entry) { return el("strong", { text: signed(entry.change, percent) }); } },
    { label: "Would be", num: true, value: function (entry) { return entry.latency_s; }, show: function (entry) { return seconds(entry.latency_s); } },
    { label: "With", wrap: true, value: function (entry) { return entry.text; },
      show: function (entry) { return el("span", { class: "name", text: entry.text.replace(/(\d) us\b/g, "$1 \u00b5s") }); } }
  ], one.advice, {});
}
