// Elements, made without ever parsing text as markup: names come from other people's files.

function el(tag, attributes, children) {
  var node = document.createElement(tag);
  Object.keys(attributes || {}).forEach(function (key) {
    if (key === "text") { node.textContent = attributes[key]; }
    else if (key === "on") {
      Object.keys(attributes.on).forEach(function (event) { node.addEventListener(event, attributes.on[event]); });
    } else if (attributes[key] !== null && attributes[key] !== undefined) { node.setAttribute(key, attributes[key]); }
  });
  [].concat(children === undefined ? [] : children).forEach(function (child) {
    if (child !== null) { node.append(child); }
  });
  return node;
}

function nameOf(text) { return el("span", { class: "name", title: text, text: text }); }

function section(main, id, title, about, long) {
  var box = el("section", { id: id, "aria-labelledby": id + "-title", class: long ? "long" : null }, [
    el("h2", { id: id + "-title", text: title }),
    about ? el("p", { class: "about", text: about }) : null
  ]);
  main.append(box);
  return box;
}

// items: [label, name of a colour].
function legend(items) {
  return el("ul", { class: "legend" }, items.map(function (item) {
    var mark = el("i");
    mark.style.background = "var(--" + item[1] + ")";
    return el("li", {}, [mark, item[0]]);
  }));
}

function dot(color) {
  var mark = el("span", { class: "dot", "aria-hidden": "true" });
  mark.style.background = "var(--" + color + ")";
  return mark;
}

// What a tooltip shows: a title, rows of label and text, and lines below.
function tip(title, rows, lines) {
  var list = el("dl");
  rows.forEach(function (row) {
    if (row[1] !== "" && row[1] !== null && row[1] !== undefined) {
      list.append(el("dt", { text: row[0] }), el("dd", { text: row[1] }));
    }
  });
  return el("div", { class: "tip" }, [el("strong", { text: title }), list].concat(
    (lines || []).map(function (line) { return el("p", { text: line }); })));
}

function choice(label, options, on) {
  var select = el("select", { on: { change: function () { on(select.value); } } }, options.map(function (option) {
    return el("option", { value: option[0], text: option[1] });
  }));
  return { label: el("label", {}, [label, select]), select: select };
}
