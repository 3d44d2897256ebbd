import time


class ReportGenerator:
    def __init__(self, report_type, date_range):
        self.report_type = report_type
        self.date_range = date_range
        self.sections = []

    def generate_section(self, section):
        time.sleep(0.3)
        self.sections.append(section)

    def finalize(self):
        return f"/reports/{self.report_type}-{len(self.sections)}.pdf"
