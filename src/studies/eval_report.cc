#include "studies/eval_report.h"

#include <fmt/format.h>

#include <fstream>
#include <vector>

#include "base/error.h"
#include "eval/plot.h"

namespace throng::studies {
namespace {

using nlohmann::json;

json ToJson(const std::string& kv, const eval::Sizes& sizes, const eval::Divergence& divergence) {
  json bands = json::array();
  for (const eval::DistanceBand& band : divergence.bands) {
    bands.push_back(
        {{"from", band.from}, {"positions", band.positions}, {"kl_mean", band.kl_mean}, {"top1", band.top1}});
  }
  return {{"kv", kv},
          {"bits", sizes.bits},
          {"bytes_per_token", sizes.bytes_per_token},
          {"ratio_to_f16", sizes.ratio_to_f16},
          {"positions", divergence.positions},
          {"kl_mean", divergence.kl_mean},
          {"kl_p99", divergence.kl_p99},
          {"top1", divergence.top1},
          {"ppl", divergence.ppl},
          {"error_keys", divergence.error_keys},
          {"error_values", divergence.error_values},
          {"bands", bands}};
}

json ToJson(const eval::CodecDivergence& row) { return ToJson(row.kv, row.sizes, row.divergence); }

json ToJson(const eval::CodecRecall& row) {
  json object = ToJson(row.kv, row.sizes, row.divergence);
  const eval::Recall& recall = row.recall;
  json depths = json::array();
  for (size_t i = 0; i < recall.depths.size(); ++i) {
    const eval::Depth& depth = recall.depths[i];
    if (depth.questions == 0) continue;
    const eval::Interval interval = eval::WilsonInterval(depth.right, depth.questions);
    depths.push_back({{"pages", i},
                      {"questions", depth.questions},
                      {"accuracy", static_cast<double>(depth.right) / depth.questions},
                      {"accuracy_interval", {interval.low, interval.high}}});
  }
  object["questions"] = recall.questions;
  object["accuracy"] = recall.accuracy;
  object["accuracy_interval"] = {recall.accuracy_interval.low, recall.accuracy_interval.high};
  object["depths"] = depths;
  object["lost"] = recall.lost;
  object["gained"] = recall.gained;
  object["mcnemar_p"] = recall.mcnemar_p;
  object["difference"] = recall.difference;
  object["difference_interval"] = {recall.difference_interval.low, recall.difference_interval.high};
  object["answer_tokens"] = recall.answer_tokens;
  object["answer_length_ratio"] = recall.answer_length_ratio;
  object["answer_length_changed"] = recall.answer_length_changed;
  return object;
}

template <typename Row>
json AllToJson(std::span<const Row> rows, const std::string& softmax) {
  json results = json::array();
  for (const Row& row : rows.subspan(1)) results.push_back(ToJson(row));
  return {{"softmax", softmax}, {"reference", ToJson(rows.front())}, {"results", results}};
}

json ToJson(const eval::LogitError& error) { return {{"decoded", error.decoded}, {"score", error.score}}; }

size_t NameWidth(size_t width, const std::string& name) { return std::max(width, name.size() + 1); }

std::string DepthName(size_t i) {
  return i + 1 == eval::kDepths ? fmt::format(">={}", i) : fmt::format("{}", i);
}

void Write(const eval::PlotAxes& axes, std::span<const eval::PlotPoint> points, const std::string& path) {
  std::ofstream file(path);
  file << eval::ScatterSvg(axes, points);
  if (!file.flush()) throw MakeError(ErrorCode::kIo, "{}: cannot write", path);
}

}  // namespace

json EvalJson(std::span<const eval::CodecDivergence> rows, const std::string& softmax) {
  return AllToJson(rows, softmax);
}
json EvalJson(std::span<const eval::CodecRecall> rows, const std::string& softmax) {
  return AllToJson(rows, softmax);
}

json EvalJson(std::span<const eval::KeyErrors> rows) {
  json results = json::array();
  for (const eval::KeyErrors& row : rows) {
    json cases = json::array();
    for (size_t i = 0; i < eval::BiasCases().size(); ++i) {
      cases.push_back({{"bias", eval::BiasCases()[i].name},
                       {"whole", ToJson(row.whole[i])},
                       {"without", ToJson(row.without[i])}});
    }
    results.push_back({{"kv", row.kv}, {"unbiased", ToJson(row.unbiased)}, {"biased", cases}});
  }
  return {{"results", results}};
}

namespace {

// A column for each band, if there are several.
void PrintBands(std::span<const eval::CodecDivergence> rows, size_t width) {
  const std::vector<eval::DistanceBand>& bands = rows.front().divergence.bands;
  if (bands.size() < 2) return;
  fmt::print("\nmean KL of positions that see at least so many tokens, and fewer than twice as many\n\n");
  fmt::print("{:<{}}", "kv", width);
  for (const eval::DistanceBand& band : bands) fmt::print(" {:>9}", band.from);
  fmt::print("\n{:<{}}", "positions", width);
  for (const eval::DistanceBand& band : bands) fmt::print(" {:>9}", band.positions);
  fmt::print("\n");
  for (const eval::CodecDivergence& row : rows.subspan(1)) {
    fmt::print("{:<{}}", row.kv, width);
    for (const eval::DistanceBand& band : row.divergence.bands) fmt::print(" {:>9.3g}", band.kl_mean);
    fmt::print("\n");
  }
}

}  // namespace

void PrintDivergence(std::span<const eval::CodecDivergence> rows, EvalKind kind) {
  const bool kl = kind == EvalKind::kKl;
  fmt::print("{} positions beyond the first {} tokens{}\n\n", rows.front().divergence.positions,
             kv::kPageTokens, kl ? "; KL against f32, in nats" : "");
  size_t width = 16;
  for (const eval::CodecDivergence& row : rows) width = NameWidth(width, row.kv);
  fmt::print("{:<{}}", "kv", width);
  if (kl) fmt::print(" {:>10} {:>10} {:>8}", "KL mean", "KL p99", "top-1");
  fmt::print(" {:>10} {:>8} {:>11} {:>10}\n", "ppl", "bits", "bytes/token", "f16 / this");
  for (const eval::CodecDivergence& row : rows) {
    const eval::Divergence& divergence = row.divergence;
    fmt::print("{:<{}}", row.kv, width);
    if (kl) {
      fmt::print(" {:>10.3g} {:>10.3g} {:>7.1f}%", divergence.kl_mean, divergence.kl_p99,
                 100.0 * divergence.top1);
    }
    fmt::print(" {:>10.4f} {:>8.2f} {:>11.0f} {:>10.2f}\n", divergence.ppl, row.sizes.bits,
               row.sizes.bytes_per_token, row.sizes.ratio_to_f16);
  }
  if (kl) PrintBands(rows, width);
}

void PrintRecall(std::span<const eval::CodecRecall> rows) {
  fmt::print("{} questions; accuracy in percent, also by the sealed pages between answer and question\n\n",
             rows.front().recall.questions);
  size_t width = 16;
  for (const eval::CodecRecall& row : rows) width = NameWidth(width, row.kv);
  fmt::print("{:<{}} {:>6} {:>14}", "kv", width, "all", "95 %");
  for (size_t i = 0; i < eval::kDepths; ++i) fmt::print(" {:>6}", DepthName(i));
  fmt::print(" {:>5} {:>7} {:>14} {:>8} {:>7} {:>8} {:>6}\n", "lost", "gained", "change 95 %", "McNemar",
             "length", "KL mean", "bits");
  for (const eval::CodecRecall& row : rows) {
    const eval::Recall& recall = row.recall;
    const auto interval = [](const eval::Interval& i, const char* sign) {
      return fmt::format(fmt::runtime(fmt::format("{{:{0}.1f}} to {{:{0}.1f}}", sign)), 100.0 * i.low,
                         100.0 * i.high);
    };
    fmt::print("{:<{}} {:>6.1f} {:>14}", row.kv, width, 100.0 * recall.accuracy,
               interval(recall.accuracy_interval, ""));
    for (const eval::Depth& depth : recall.depths) {
      depth.questions == 0 ? fmt::print(" {:>6}", "-")
                           : fmt::print(" {:>6.1f}", 100.0 * depth.right / depth.questions);
    }
    fmt::print(" {:>5} {:>7} {:>14} {:>8.2g} {:>7.3f} {:>8.2g} {:>6.2f}\n", recall.lost, recall.gained,
               interval(recall.difference_interval, "+"), recall.mcnemar_p, recall.answer_length_ratio,
               row.divergence.kl_mean, row.sizes.bits);
  }
}

void PrintKeyErrors(std::span<const eval::KeyErrors> rows) {
  fmt::print(
      "Standard deviation of the logits' errors, by the size of the keys' bias and the speed of its RoPE "
      "pairs\n\n");
  size_t width = 28;
  for (const eval::KeyErrors& row : rows) width = NameWidth(width, row.kv + ", bias removed");
  fmt::print("{:<{}} {:>10}", "kv", width, "no bias");
  for (const eval::BiasCase& bias : eval::BiasCases()) fmt::print(" {:>10}", bias.name);
  fmt::print("\n");
  for (const eval::KeyErrors& row : rows) {
    const auto print = [&](const std::string& name, std::span<const eval::LogitError> errors) {
      fmt::print("{:<{}} {:>10.3g}", name, width, row.unbiased.score);
      for (const eval::LogitError& error : errors) fmt::print(" {:>10.3g}", error.score);
      fmt::print("\n");
    };
    print(row.kv, row.whole);
    print(row.kv + ", bias removed", row.without);
  }
}

void PlotDivergence(std::span<const eval::CodecDivergence> rows, EvalKind kind, const std::string& path) {
  std::vector<eval::PlotPoint> points;
  for (const eval::CodecDivergence& row : rows.subspan(1)) {
    points.push_back(
        {row.kv, row.sizes.bits, kind == EvalKind::kPpl ? row.divergence.ppl : row.divergence.kl_mean, {}});
  }
  eval::PlotAxes axes{"What codecs cost", "bits per element of the cache", "", kind == EvalKind::kKl};
  axes.y_label = kind == EvalKind::kPpl ? "perplexity" : "mean KL to f32, nats";
  Write(axes, points, path);
}

void PlotRecall(std::span<const eval::CodecRecall> rows, const std::string& path) {
  std::vector<eval::PlotPoint> points;
  for (const eval::CodecRecall& row : rows) {
    const eval::Interval& interval = row.recall.accuracy_interval;
    points.push_back(
        {row.kv, row.sizes.bits, 100.0 * row.recall.accuracy, {100.0 * interval.low, 100.0 * interval.high}});
  }
  Write({"What codecs cost", "bits per element of the cache", "right answers, percent, with 95 % intervals",
         false},
        points, path);
}

}  // namespace throng::studies
