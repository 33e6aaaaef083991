#include "studies/paper_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace throng::studies {

namespace {

std::string Value(double value, const std::string& unit) {
  if (unit == "%") return fmt::format("{:.1f} %", value);
  if (unit == "s") return fmt::format("{:.0f} s", value);
  return fmt::format("{:.2f}{}", value, unit);
}

}  // namespace

void PrintPaper(const std::vector<PaperRow>& rows) {
  size_t width = 0;
  for (const PaperRow& row : rows) width = std::max(width, row.setting.size());
  const auto line = [&](const auto&... cells) {
    fmt::print("| {:<{}} | {:<35} | {:>7} | {:>8} | {:>19} |\n", cells...);
  };
  line("setting", width, "measure", "paper", "measured", "range");
  fmt::print("|---|---|--:|--:|--:|\n");
  std::string setting;
  for (const PaperRow& row : rows) {
    const auto [least, most] = std::minmax_element(row.values.begin(), row.values.end());
    const bool several = row.values.size() > 1;
    line(row.setting == setting ? "" : row.setting, width, row.measure,
         row.paper ? Value(*row.paper, row.unit) : "", Value(row.Median(), row.unit),
         several ? Value(*least, row.unit) + " - " + Value(*most, row.unit) : std::string());
    setting = row.setting;
  }
}

nlohmann::ordered_json PaperJson(const std::vector<PaperRow>& rows) {
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const PaperRow& row : rows) {
    nlohmann::ordered_json json = {{"setting", row.setting}, {"measure", row.measure}, {"unit", row.unit}};
    json["paper"] = row.paper ? nlohmann::ordered_json(*row.paper) : nlohmann::ordered_json();
    json["median"] = row.Median();
    json["values"] = row.values;
    results.push_back(std::move(json));
  }
  return {{"results", results}};
}

}  // namespace throng::studies
