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

  /** What is not filled in, in words. */
  get gaps() {
    const { findings, type, grade, impression, confidence } = this.report;
    const { elements } = this.form;
    return [
      !findings.trim() && "Findings are empty.",
      !type && elements.type.options.length > 1 && "No type is chosen.",
      !grade && elements.grade.options.length > 1 && "No grade is chosen.",
      !type && !impression.trim() && "The impression is empty.",
      !confidence && "Confidence is not given.",
    ].filter(Boolean);
  }
}

function choices(select, names) {
  select.replaceChildren(new Option("not chosen", ""), ...names.map((name) => new Option(name, name)));
}
