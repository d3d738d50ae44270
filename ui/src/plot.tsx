// Lines over time on a canvas. They are drawn when a report comes, and not in between.

import { useEffect, useRef } from "preact/hooks";
import { POINTS } from "./series";
import { INTERVAL_MS, tick } from "./store";
import { type Color, color, theme } from "./theme";

export interface Curve {
  name: string;
  color: Color;
  values: (number | undefined)[];
  fill?: boolean;
}

const SMALL_POINTS = 60;

interface Drawn {
  curves: Curve[];
  format?: (value: number) => string;
  height?: number;
  small?: boolean;
  label: string;
}

export function Plot({ curves, format = String, height = 120, small = false, label }: Drawn) {
  const ref = useRef<HTMLCanvasElement>(null);
  const drawnAt = tick.value;
  const shade = theme.value;
  useEffect(() => {
    const canvas = ref.current;
    if (canvas) draw(canvas, curves, format, small);
  }, [drawnAt, shade, curves]);
  useEffect(() => {
    const canvas = ref.current;
    if (!canvas || small) return;
    const resized = new ResizeObserver(() => draw(canvas, curves, format, small));
    resized.observe(canvas);
    return () => resized.disconnect();
  }, []);
  const last = curves.map((curve) => `${curve.name} ${format(curve.values.at(-1) ?? 0)}`).join(", ");
  return (
    <canvas ref={ref} class={small ? "spark" : "plot"} height={height} role="img" aria-label={`${label}: ${last}`} />
  );
}

function draw(canvas: HTMLCanvasElement, curves: Curve[], format: (value: number) => string, small: boolean): void {
  const ratio = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width || !height) return;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  if (!context) return;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const shown = curves
    .flatMap((curve) => curve.values.slice(small ? -SMALL_POINTS : 0))
    .filter((value) => value !== undefined);
  const top = ceiling(Math.max(0, ...shown));
  const [above, below] = small ? [2, 2] : [10, 18];
  const points = small
    ? SMALL_POINTS
    : Math.min(POINTS, Math.max(SMALL_POINTS, ...curves.map((curve) => curve.values.length)));
  const marks = [0, 0.5, 1].map((share) => share * top);
  context.font = `11px ${getComputedStyle(canvas).fontFamily}`;
  const left = small ? 0 : 10 + Math.max(...marks.map((mark) => context.measureText(format(mark)).width));
  const x = (index: number, length: number) => width - ((length - 1 - index) / (points - 1)) * (width - left);
  const y = (value: number) => above + (1 - value / top) * (height - above - below);
  if (!small) grid(context, left, width, marks.map(y));
  for (const curve of curves)
    if (curve.color !== "bad" || curve.values.some((value) => value)) line(context, curve, x, y, height - below, small);
  if (!small) {
    context.fillStyle = color("muted");
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const mark of marks) context.fillText(format(mark), left - 8, Math.round(y(mark)) + 0.5);
    context.textBaseline = "bottom";
    context.fillText("now", width, height);
    context.textAlign = "left";
    context.fillText(`${Math.round((points * INTERVAL_MS) / 1000)} s ago`, left, height);
  }
}

function grid(context: CanvasRenderingContext2D, left: number, width: number, heights: number[]): void {
  context.lineWidth = 1;
  context.strokeStyle = color("line");
  for (const height of heights) {
    context.beginPath();
    context.moveTo(left, Math.round(height) + 0.5);
    context.lineTo(width, Math.round(height) + 0.5);
    context.stroke();
  }
}

function line(
  context: CanvasRenderingContext2D,
  curve: Curve,
  x: (index: number, length: number) => number,
  y: (value: number) => number,
  bottom: number,
  small: boolean,
): void {
  const length = curve.values.length;
  const from = small ? Math.max(0, length - SMALL_POINTS) : 0;
  context.beginPath();
  let drawing = false;
  for (let index = from; index < length; index++) {
    const value = curve.values[index];
    if (value === undefined) {
      drawing = false;
      continue;
    }
    if (!drawing) context.moveTo(x(index, length) - 0.01, y(value));
    context.lineTo(x(index, length), y(value));
    drawing = true;
  }
  context.lineCap = "round";
  context.strokeStyle = color(curve.color);
  context.lineWidth = small ? 1.25 : 1.6;
  context.lineJoin = "round";
  context.stroke();
  if (curve.fill && length > from) {
    context.lineTo(x(length - 1, length), bottom);
    context.lineTo(x(from, length), bottom);
    context.globalAlpha = 0.1;
    context.fillStyle = color(curve.color);
    context.fill();
    context.globalAlpha = 1;
  }
}

/** The next number above that is easy to read. */
function ceiling(value: number): number {
  if (value <= 0) return 1;
  const scale = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => value <= step * scale) ?? 10) * scale;
}
