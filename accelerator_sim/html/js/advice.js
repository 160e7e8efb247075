// What would help, found by placing and simulating again.

function advice(main, one) {
  if (!one.advice.length) { return; }
  var box = section(main, "advice", "What would help", "Each found by changing one thing and simulating again; the others stay as they are.");
  box.append(el("ul", { class: "advice" }, one.advice.map(function (entry) {
    return el("li", {}, [el("span", { class: "name", text: entry.text }), ": ",
      el("strong", { text: signed(entry.change, percent) }), " (" + seconds(entry.latency_s) + ")"]);
  })));
}
