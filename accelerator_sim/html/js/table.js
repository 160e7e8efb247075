// A table that sorts by every column and filters by text and by choice.

var PAGE = 200;

// columns: {label, value(row), show(row), num, wrap}; show gives text or an element.
// options: {search: function(row) -> text, filters: [{label, value(row)}], sort: [column, down], tall}
function table(box, label, columns, rows, options) {
  var state = { column: options.sort ? options.sort[0] : -1, down: options.sort ? options.sort[1] : false,
    text: "", picked: (options.filters || []).map(function () { return ""; }), shown: PAGE };
  var body = el("tbody"), count = el("span", { class: "count", role: "status" });
  var more = el("button", { type: "button", text: "Show more rows", on: { click: function () { state.shown += 5 * PAGE; fill(); } } });
  var headers = columns.map(function (column, position) {
    return el("th", { scope: "col", class: column.num ? "num" : null }, el("button", { type: "button", text: column.label,
      on: { click: function () {
        state.down = state.column === position ? !state.down : Boolean(column.num);
        state.column = position;
        fill();
      } } }));
  });
  var tools = el("div", { class: "tools" });
  if (options.search) {
    tools.append(el("label", {}, ["Find", el("input", { type: "search", "aria-label": "Find in " + label,
      on: { input: function (event) { state.text = event.target.value.toLowerCase(); state.shown = PAGE; fill(); } } })]));
  }
  (options.filters || []).forEach(function (filter, position) {
    var values = Array.from(new Set(rows.map(filter.value))).sort();
    tools.append(choice(filter.label, [["", "all"]].concat(values.map(function (value) { return [value, value]; })),
      function (value) { state.picked[position] = value; state.shown = PAGE; fill(); }).label);
  });
  tools.append(count);
  if (tools.children.length > 1) { box.append(tools); }
  box.append(el("div", { class: "scroll" + (options.tall ? " tall" : ""), tabindex: "0", role: "region", "aria-label": label },
    el("table", { "aria-label": label }, [el("thead", {}, el("tr", {}, headers)), body])), more);

  function selected() {
    var result = rows.filter(function (row) {
      return (!state.text || options.search(row).toLowerCase().indexOf(state.text) >= 0)
        && state.picked.every(function (value, i) { return value === "" || options.filters[i].value(row) === value; });
    });
    if (state.column >= 0) {
      var value = columns[state.column].value, sign = state.down ? -1 : 1;
      result = result.map(function (row, i) { return [value(row), i, row]; }).sort(function (a, b) {
        if (a[0] === null || b[0] === null) { return a[0] === b[0] ? a[1] - b[1] : a[0] === null ? 1 : -1; }
        return a[0] < b[0] ? -sign : a[0] > b[0] ? sign : a[1] - b[1];
      }).map(function (entry) { return entry[2]; });
    }
    return result;
  }

  function fill() {
    var found = selected();
    body.replaceChildren.apply(body, found.slice(0, state.shown).map(function (row) {
      return el("tr", {}, columns.map(function (column) {
        return el("td", { class: column.num ? "num" : column.wrap ? "wrap" : null }, column.show(row));
      }));
    }));
    headers.forEach(function (header, i) {
      header.setAttribute("aria-sort", i !== state.column ? "none" : state.down ? "descending" : "ascending");
    });
    count.textContent = found.length === rows.length ? plural(rows.length, "row") : whole(found.length) + " of " + plural(rows.length, "row");
    more.hidden = found.length <= state.shown;
  }
  fill();
}
