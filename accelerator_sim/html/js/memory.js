// Where every buffer lies in every memory over the ops.

var KIND_TEXT = { weight: "weight", activation: "activation", state: "state", scratch: "scratch", io: "input or output",
  staging: "staging ring", image: "image of loaded weights" };

// With more buffers than this their names are left to hovering.
var MOST_NAMES = 1500;

function memory(main, one) {
  var data = one.memory, tiers = one.tiers;
  var box = section(main, "memory", "Memory map", "Offsets of every buffer against the ops during which it is live, innermost memory first. "
    + "Weights live all the time. Hover tells why a tensor is where it is: the plan was simulated again with that one tensor elsewhere.", true);
  if (data.total > data.name.length) {
    box.append(el("p", { class: "note", text: "The " + whole(data.name.length) + " buffers of " + whole(data.total)
      + " that take most memory for longest are drawn." }));
  }
  var rows = data.name.map(function (name, i) { return i; });
  var used = tiers.map(function (tier, k) { return k; }).filter(function (k) {
    return rows.some(function (i) { return data.tier[i] === k; });
  }).reverse();
  var kinds = Object.keys(KIND_TEXT).filter(function (kind) { return data.kind.indexOf(kind) >= 0; });
  box.append(legend(kinds.map(function (kind) { return [KIND_TEXT[kind], kind]; })));

  function top(k) {
    var end = 0;
    rows.forEach(function (i) { if (data.tier[i] === k) { end = Math.max(end, data.offset[i] + data.bytes[i]); } });
    // A memory that is nearly empty would show nothing at its full height.
    if (end > 0.2 * tiers[k].capacity_bytes) { return Math.max(end, tiers[k].capacity_bytes); }
    return Math.ceil(Math.max(1, end) / tick(end)) * tick(end);
  }

  // Three to six labels, at powers of two.
  function tick(end) { return Math.pow(2, Math.ceil(Math.log2(Math.max(4, end) / 5))); }

  function label(k) {
    var tier = tiers[k], cut = top(k) < tier.capacity_bytes;
    return tier.name + (tier.scope === "per-core" ? " (each core)" : "") + ": peak " + bytes(tier.peak_bytes) + " of "
      + bytes(tier.capacity_bytes) + (cut ? "; only what is used is drawn" : "");
  }

  function hover(params) {
    var i = params.value[5];
    return tip(data.name[i], [
      ["kind", KIND_TEXT[data.kind[i]] + (data.mode[i] === "shared" ? "" : ", " + data.mode[i])],
      ["size", bytes(data.tensor_bytes[i]) + (data.bytes[i] !== data.tensor_bytes[i] ? "; " + bytes(data.bytes[i]) + " here" : "")],
      ["shape", data.shape[i].length ? data.shape[i].join(" x ") + " " + data.type[i] : ""],
      ["offset", whole(data.offset[i])], ["live", "ops " + data.start[i] + " to " + (data.end[i] - 1)]], data.why[i]);
  }

  var heights = used.map(function (k) { return k === tiers.length - 1 ? 250 : 190; });
  function place(position) { return 28 + sum(heights.slice(0, position)) + 34 * position; }

  function draw(width) {
    var left = width < 600 ? 62 : 80, fills = {};
    kinds.forEach(function (kind) { fills[kind] = color(kind); });
    var surface = color("surface"), names = rows.length <= MOST_NAMES;
    return Object.assign(base(), {
      title: used.map(function (k, p) {
        return { text: label(k), left: 0, top: place(p) - 24, textStyle: { color: color("ink"), fontSize: 12, fontWeight: 600,
          width: width - 4, overflow: "truncate" } };
      }),
      grid: used.map(function (k, p) { return { left: left, right: 14, top: place(p), height: heights[p] - 18 }; }),
      xAxis: used.map(function (k, p) {
        var last = p === used.length - 1;
        return axis({ type: "value", gridIndex: p, min: 0, max: data.op_count, minInterval: 1, axisLabel: { show: last },
          name: last ? "op index" : "", nameLocation: "middle", nameGap: 22, splitLine: { show: false } });
      }),
      yAxis: used.map(function (k, p) {
        return axis({ type: "value", gridIndex: p, min: 0, max: top(k), interval: tick(top(k)),
          axisLabel: { formatter: bytes, hideOverlap: false, showMaxLabel: top(k) % tick(top(k)) === 0 } });
      }),
      dataZoom: zooms(used.map(function (k, p) { return p; }), 8),
      tooltip: Object.assign(base().tooltip, { trigger: "item", formatter: hover }),
      series: used.map(function (k, p) {
        return { type: "custom", xAxisIndex: p, yAxisIndex: p, encode: { x: [0, 1], y: [2, 3], tooltip: [] }, clip: true, progressive: 0,
          data: rows.filter(function (i) { return data.tier[i] === k; }).map(function (i) {
            return [data.start[i], data.end[i], data.offset[i], data.offset[i] + data.bytes[i], 0, i];
          }),
          renderItem: function (params, api) {
            var shape = rectangle(params, api.coord([api.value(0), api.value(2)]), api.coord([api.value(1), api.value(3)]), 0.8);
            if (!shape) { return null; }
            var i = api.value(5), big = shape.width > 3 && shape.height > 3;
            var item = { type: "rect", shape: shape, style: { fill: fills[data.kind[i]], opacity: 0.88, stroke: big ? surface : undefined, lineWidth: big ? 0.8 : 0 },
              emphasis: { style: { opacity: 1, stroke: color("ink"), lineWidth: 1 } } };
            if (names) {
              // Always there, if empty: the library keeps the text of the last drawing otherwise.
              item.textContent = { type: "text", style: { text: shape.width > 70 && shape.height > 15 ? data.name[i] : "", fill: data.kind[i] === "image" ? color("ink") : color("onfill"),
                fontSize: 10.5, width: shape.width - 8, overflow: "truncate" } };
              item.textConfig = { position: "inside" };
            }
            return item;
          } };
      })
    });
  }
  chart(box, "Memory map by tier", function () { return place(used.length) + 20; }, draw, true);
  tensorTable(box, one, rows);
}

function tensorTable(box, one, rows) {
  var data = one.memory, details = el("details", {}, el("summary", { text: "The same as a table" }));
  box.append(details);
  details.addEventListener("toggle", function () {
    if (!details.open || details.children.length > 1) { return; }
    function tier(i) { return one.tiers[data.tier[i]].name; }
    table(details, "Tensors", [
      { label: "Tensor", value: function (i) { return data.name[i]; }, show: function (i) { return nameOf(data.name[i]); } },
      { label: "Kind", value: function (i) { return data.kind[i]; }, show: function (i) { return [dot(data.kind[i]), KIND_TEXT[data.kind[i]]]; } },
      { label: "Memory", value: tier, show: tier },
      { label: "Size", num: true, value: function (i) { return data.tensor_bytes[i]; }, show: function (i) { return bytes(data.tensor_bytes[i]); } },
      { label: "Offset", num: true, value: function (i) { return data.offset[i]; }, show: function (i) { return whole(data.offset[i]); } },
      { label: "Live in ops", num: true, value: function (i) { return data.start[i]; }, show: function (i) { return data.start[i] + "\u2013" + (data.end[i] - 1); } },
      { label: "One tier out", num: true, value: function (i) { return data.cost_s[i]; },
        show: function (i) { return data.cost_s[i] === null ? "" : data.cost_s[i] === 0 ? "0 s" : signed(data.cost_s[i], seconds); } },
      { label: "Why it is there", wrap: true, value: function (i) { return data.why[i].join("; "); }, show: function (i) { return data.why[i].join("; "); } }
    ], rows, { search: function (i) { return data.name[i]; }, sort: [6, true], tall: true,
      filters: [{ label: "Kind", value: function (i) { return data.kind[i]; } }, { label: "Memory", value: tier }] });
  });
}
