// Return the accessibility problems of this page; [] if there are none.
() => {
  const found = [];
  const once = (selector) => {
    const count = document.querySelectorAll(selector).length;
    if (count !== 1) found.push(`${count} of ${selector}`);
  };
  once("h1");
  once("main");
  if (!document.title.trim()) found.push("no title");

  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  ids.filter((id, i) => ids.indexOf(id) !== i).forEach((id) => found.push(`two ids ${id}`));
  for (const attribute of ["aria-describedby", "aria-labelledby"])
    for (const e of document.querySelectorAll(`[${attribute}]`))
      for (const id of e.getAttribute(attribute).split(" "))
        if (!ids.includes(id)) found.push(`${attribute} names ${id}, which does not exist`);

  for (const input of document.querySelectorAll("input")) {
    const label = input.labels[0];
    if (!label || !label.textContent.trim()) found.push(`no label: ${input.name}`);
    else if (!label.checkVisibility()) found.push(`hidden label: ${input.name}`);
    // Below 16 px a phone zooms in when the field is touched.
    if (parseFloat(getComputedStyle(input).fontSize) < 16) found.push(`small type: ${input.name}`);
  }
  for (const e of document.querySelectorAll("input, button, a")) {
    const { width, height } = e.getBoundingClientRect();
    if (width < 44 || height < 44) found.push(`target smaller than 44 px: ${e.id || e.textContent.trim()}`);
  }

  const rgba = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const luminance = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((v) => {
      const c = v / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour.a === 1) return colour;
      if (colour.a !== 0) found.push(`semi-transparent background: ${e.tagName}`);
    }
    return { r: 255, g: 255, b: 255, a: 1 };
  };
  const contrast = (text, e, what) => {
    const [low, high] = [luminance(rgba(text)), luminance(ground(e))].sort((x, y) => x - y);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(2)}: ${what}`);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (text && e.checkVisibility()) contrast(getComputedStyle(e).color, e, text);
  }
  for (const input of document.querySelectorAll("input")) {
    contrast(getComputedStyle(input).color, input, input.name);
    if (input.placeholder)
      contrast(getComputedStyle(input, "::placeholder").color, input, input.placeholder);
  }
  return found;
}
