// Steps as times of day, where steps have a length.

export class Clock {
  // start: of step 0, '07:00'; secondsPerStep: 0 if steps have no length.
  constructor(start = '', secondsPerStep = 0) {
    const [hour, minute] = start.split(':').map(Number);
    this.isKnown = secondsPerStep > 0 && Number.isFinite(hour) && Number.isFinite(minute);
    this.startSeconds = this.isKnown ? 60 * (60 * hour + minute) : 0;
    this.secondsPerStep = secondsPerStep;
  }

  timeOf(step) {
    if (!this.isKnown) return `step ${step}`;
    const minutes = Math.floor((this.startSeconds + step * this.secondsPerStep) / 60);
    const day = Math.floor(minutes / 1440);
    const two = (number) => String(number).padStart(2, '0');
    return `${day > 0 ? `day ${day + 1}, ` : ''}${two(Math.floor(minutes / 60) % 24)}:${two(minutes % 60)}`;
  }

  get stepsPerHour() { return this.isKnown ? Math.max(1, Math.round(3600 / this.secondsPerStep)) : 100; }
}

// Seconds as people say them: 0.42 s, 12 s, 3:05 min.
export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 100) return `${seconds.toFixed(0)} s`;
  const whole = Math.round(seconds);
  if (whole < 6000) return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')} min`;
  return `${(whole / 3600).toFixed(1)} h`;
}
