// The fields of a report.

const TEXTS = ["findings", "type", "grade", "impression"];

export class ReportForm {
  /** `changed()` is called with every change by the reader. */
  constructor(form, types, grades, changed) {
    this.form = form;
    choices(form.elements.type, types);
    choices(form.elements.grade, grades);
    form.addEventListener("input", changed);
  }

  get report() {
    const { elements } = this.form;
    return {
      ...Object.fromEntries(TEXTS.map((name) => [name, elements[name].value])),
      confidence: Number(elements.confidence.value || 0),
    };
  }

  set report(report) {
    const { elements } = this.form;
    for (const name of TEXTS) elements[name].value = report[name];
    for (const radio of elements.confidence) radio.checked = Number(radio.value) === report.confidence;
  }

  /** The field to fill in first, without which the server takes no report, or null; its data say so in words. */
  get missing() {
    const { findings, type, impression } = this.report;
    if (!findings.trim()) return this.form.elements.findings;
    return type || impression.trim() ? null : this.form.elements.type;
  }

  /** What may be left out but seldom is meant to be, in words. */
  get gaps() {
    const { type, grade, confidence } = this.report;
    return [
      !type && "No type is chosen.",
      !grade && "No grade is chosen.",
      !confidence && "Confidence is not given.",
    ].filter(Boolean);
  }
}

/** A report as one text. */
export function inWords({ findings, type, grade, impression, confidence }) {
  const parts = { Findings: findings, Type: type, Grade: grade, "In your words": impression, Confidence: confidence };
  const filled = Object.entries(parts).filter(([, value]) => value);
  return filled.map(([name, value]) => `${name}: ${value}`).join("\n") || "(empty)";
}

function choices(select, names) {
  select.replaceChildren(new Option("not chosen", ""), ...names.map((name) => new Option(name, name)));
}
