'use strict';
for (const group of document.querySelectorAll('[data-circle]')) {
  const panos = [...group.querySelectorAll('.pano')];
  let turn = 0; // of the whole circle
  const draw = () => {
    for (const pano of panos) {
      const circle = Math.round(pano.clientHeight * Number(pano.dataset.aspect));
      for (const layer of pano.children) {
        layer.style.backgroundSize = circle + 'px 100%';
        layer.style.backgroundPositionX = Math.round(turn * circle) + 'px';
      }
    }
  };
  for (const pano of panos) {
    let from = null;
    pano.addEventListener('pointerdown', event => {
      from = event.clientX;
      pano.setPointerCapture(event.pointerId);
    });
    pano.addEventListener('pointermove', event => {
      if (from === null) return;
      turn += (event.clientX - from) / (pano.clientHeight * Number(pano.dataset.aspect));
      turn -= Math.floor(turn);
      from = event.clientX;
      draw();
    });
    for (const end of ['pointerup', 'pointercancel']) {
      pano.addEventListener(end, () => { from = null; });
    }
    pano.addEventListener('keydown', event => {
      const step = { ArrowLeft: 1 / 32, ArrowRight: -1 / 32 }[event.key];
      if (step === undefined) return;
      turn += step + 1;
      turn -= Math.floor(turn);
      draw();
      event.preventDefault();
    });
  }
  addEventListener('resize', draw);
  draw();
}
for (const viewer of document.querySelectorAll('.viewer')) {
  const layers = [...viewer.querySelectorAll('.layer')];
  const radios = [...viewer.querySelectorAll('input[type=radio]')];
  const fade = viewer.querySelector('input[type=range]');
  const show = () => {
    const chosen = radios.findIndex(radio => radio.checked);
    layers.forEach((layer, i) => {
      layer.style.opacity = i === 0 ? 1 : i === chosen ? fade.value / 100 : 0;
    });
    fade.disabled = chosen === 0;
  };
  for (const input of [...radios, fade]) input.addEventListener('input', show);
  viewer.addEventListener('keydown', event => {
    const chosen = radios[Number(event.key) - 1];
    if (!chosen || event.target === fade) return;
    chosen.checked = true;
    show();
  });
  show();
}
