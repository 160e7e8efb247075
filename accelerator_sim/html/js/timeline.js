// What every engine, memory and DMA lane does when.

function laneColor(kind, tiers) {
  if (kind === "ahead") { return "loss"; }
  if (kind === "during") { return "io"; }
  return boundColor(kind.replace(/^busy:/, ""), tiers);
}

function timeline(main, one) {
  var data = one.timeline, blocks = data.blocks, lanes = data.lanes, tiers = one.tiers;
  var box = section(main, "timeline", "Timeline", "One steady inference. Colours of ops say what bounds them. "
    + "The engine knows for how long a unit or a memory is busy during an op, not when: those blocks begin after the op's launch.");
  var bounds = Array.from(new Set(blocks.bound)).sort();
  box.append(legend(bounds.map(function (bound) { return ["bound by " + boundName(bound), boundColor(bound, tiers)]; })
    .concat(data.transfers ? [["DMA ahead of its op", "loss"], ["DMA while its op runs", "io"], ["DMA that its op waits for", "stall"]] : [])));
  if (data.ops_per_block > 1) {
    box.append(el("p", { class: "note", text: "A large graph: every block stands for " + data.ops_per_block
      + " consecutive ops, named after the slowest of them." }));
  }
  if (data.transfers_per_block > 1) {
    box.append(el("p", { class: "note", text: "Every DMA block stands for up to " + data.transfers_per_block + " transfers of " + whole(data.transfers) + "." }));
  }
  var rows = [];
  lanes.forEach(function (lane, l) {
    lane.start_s.forEach(function (start, i) { rows.push([l, start, lane.end_s[i], i]); });
  });

  function hover(params) {
    var lane = lanes[params.value[0]], i = params.value[3];
    var start = lane.start_s[i], end = lane.end_s[i];
    if (lane.tensor) {
      return tip(lane.count[i] > 1 ? lane.count[i] + " transfers, largest: " + lane.tensor[i] : lane.tensor[i], [
        ["lane", lane.name], ["bytes", bytes(lane.bytes[i])], ["from", seconds(start)], ["lasts", seconds(end - start)],
        ["for op", String(lane.for_op[i])], ["", lane.waits[i] ? "the op waits for it" : ""]]);
    }
    var b = lane.block[i], single = blocks.first[b] === blocks.last[b];
    return tip(single ? blocks.name[b] : "ops " + blocks.first[b] + " to " + blocks.last[b] + ", slowest: " + blocks.name[b], [
      ["lane", lane.name], ["op", single ? blocks.first[b] + ", " + blocks.family[b] : ""],
      ["starts", seconds(blocks.start_s[b])], ["duration", seconds(blocks.end_s[b] - blocks.start_s[b])],
      ["busy here", lane.kind === "ops" ? "" : seconds(end - start)], ["bound by", boundName(blocks.bound[b])],
      ["stall", blocks.stall_s[b] > NOISE_S ? seconds(blocks.stall_s[b]) : ""], ["waits for", blocks.stall_s[b] > NOISE_S ? blocks.stall_tensor[b] : ""]
    ].concat(tiers.map(function (tier, k) { return [tier.name, blocks.bytes[b][k] ? bytes(blocks.bytes[b][k]) : ""]; })));
  }

  function draw(width) {
    var fills = lanes.map(function (lane) { return lane.kind === "ops" ? null : color(laneColor(lane.kind, tiers)); });
    var opFills = {};
    bounds.forEach(function (bound) { opFills[bound] = color(boundColor(bound, tiers)); });
    var waiting = color("stall");
    var white = color("onfill"), surface = color("surface");
    return Object.assign(base(), {
      grid: { left: width < 600 ? 92 : 136, right: 14, top: 6, bottom: 62 },
      xAxis: axis({ type: "value", min: 0, max: one.headline.latency_s, axisLabel: { formatter: seconds, showMaxLabel: false } }),
      yAxis: axis({ type: "category", data: lanes.map(function (lane) { return width < 600 ? lane.name.replace("DMA, ", "").replace("during op", "in op") : lane.name; }), inverse: true, axisTick: { show: false },
        axisLabel: { interval: 0, hideOverlap: false, width: width < 600 ? 84 : 128, overflow: "truncate" }, splitLine: { show: true } }),
      dataZoom: zooms([0], 10),
      tooltip: Object.assign(base().tooltip, { trigger: "item", formatter: hover }),
      series: [{
        type: "custom", data: rows, dimensions: ["lane", "start", "end", "i"], encode: { x: [1, 2], y: 0, tooltip: [] }, clip: true,
        progressive: 0,
        renderItem: function (params, api) {
          var lane = lanes[api.value(0)], l = api.value(0);
          var height = api.size([0, 1])[1] * (lane.kind === "ops" ? 0.78 : 0.6);
          var from = api.coord([api.value(1), l]), to = api.coord([api.value(2), l]);
          var shape = rectangle(params, [from[0], from[1] + height / 2], [to[0], to[1] - height / 2], 0.6);
          if (!shape) { return null; }
          var isOps = fills[l] === null;
          var item = { type: "rect", shape: shape,
            style: { fill: isOps ? opFills[blocks.bound[lane.block[api.value(3)]]] : lane.waits && lane.waits[api.value(3)] ? waiting : fills[l],
              stroke: isOps && shape.width > 3 ? surface : undefined, lineWidth: isOps ? 0.7 : 0 },
            emphasis: { style: { opacity: 0.75 } } };
          if (isOps) {
            // Always there, if empty: the library keeps the text of the last drawing otherwise.
            item.textContent = { type: "text", style: { text: shape.width > 46 ? blocks.name[lane.block[api.value(3)]] : "", fill: white,
              fontSize: 10.5, width: shape.width - 8, overflow: "truncate" } };
            item.textConfig = { position: "inside" };
          }
          return item;
        }
      }]
    });
  }
  chart(box, "Timeline of ops, units, memories and DMA", function () { return 80 + 30 * lanes.length; }, draw, true);
}
