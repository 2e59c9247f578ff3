for (const place of document.querySelectorAll(".plot")) {
  const figure = JSON.parse(place.nextElementSibling.textContent);
  const narrow = window.matchMedia("(max-width: 760px)").matches;
  if (narrow) {
    figure.layout.height = Math.min(figure.layout.height, 380);
    figure.layout.margin = { l: 50, r: 6, t: 10, b: 46 };
    figure.layout.font.size = 11.5;
  }
  Plotly.newPlot(place, figure.data, figure.layout, { displayModeBar: false, displaylogo: false });
  new ResizeObserver(() => Plotly.Plots.resize(place)).observe(place);
}
