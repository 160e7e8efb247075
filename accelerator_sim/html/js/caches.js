// The caches of a decoder: a token's latency by the length of its sequence, and where they are.

function caches(main, one) {
  var data = one.caches;
  if (!data) { return; }
  var share = data.full_bytes > 0 ? data.cache_bytes / data.full_bytes : 1;
  var box = section(main, "caches", "Caches", bytes(data.cache_bytes) + " for " + data.context + " positions, "
    + percent(share) + " of the " + bytes(data.full_bytes) + " of full caches. The curve is of this placement: a token's latency when the caches hold so many positions.");
  chart(box, "Latency of a token by positions held", function () { return 220; }, function (width) {
    return Object.assign(base(), {
      grid: { left: width < 600 ? 66 : 84, right: 20, top: 20, bottom: 44 },
      xAxis: axis({ type: "value", min: 0, name: "positions held", nameLocation: "middle", nameGap: 26 }),
      yAxis: axis({ type: "value", min: 0, axisLabel: { formatter: seconds } }),
      tooltip: Object.assign(base().tooltip, { trigger: "item", formatter: function (params) {
        var row = data.contexts[params.dataIndex];
        return tip(row.context + " positions", [["a token", seconds(row.latency_s)], ["tokens a second", number(1 / row.latency_s)],
          ["read of the caches", bytes(row.read_bytes)]]);
      } }),
      series: [{ type: "line", name: "a token", symbolSize: 7, data: data.contexts.map(function (row) { return [row.context, row.latency_s]; }),
        lineStyle: { color: color("mac"), width: 2 }, itemStyle: { color: color("mac") } }]
    });
  }, false);
  table(box, "A token by length", [
    { label: "Positions held", num: true, value: function (row) { return row.context; }, show: function (row) { return whole(row.context); } },
    { label: "A token", num: true, value: function (row) { return row.latency_s; }, show: function (row) { return seconds(row.latency_s); } },
    { label: "Tokens a second", num: true, value: function (row) { return 1 / row.latency_s; }, show: function (row) { return number(1 / row.latency_s); } },
    { label: "Read of the caches", num: true, value: function (row) { return row.read_bytes; }, show: function (row) { return bytes(row.read_bytes); } }
  ], data.contexts, {});
  box.append(el("p", { class: "about", text: "How long a sequence may be before its caches, were they alone there, would overflow each memory:" }));
  table(box, "Caches by memory", [
    { label: "Memory", value: function (row) { return row.name; }, show: function (row) { return row.name; } },
    { label: "Holds", num: true, value: function (row) { return row.cache_bytes; }, show: function (row) { return bytes(row.cache_bytes); } },
    { label: "Overflows by all of them beyond", num: true, value: function (row) { return row.kept_context; },
      show: function (row) { return row.kept_context === null ? "never" : whole(row.kept_context); } },
    { label: "By full caches beyond", num: true, value: function (row) { return row.full_context; },
      show: function (row) { return whole(row.full_context); } }
  ], data.tiers, {});
}
