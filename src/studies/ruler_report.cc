#include "studies/ruler_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "eval/statistics.h"
#include "studies/mean_interval.h"

namespace throng::studies {
namespace {

using nlohmann::json;

constexpr size_t kDepthBands = 5;

// What one codec found in some of the results.
struct Score {
  int texts = 0;
  int questions = 0;
  int words = 0;
  int found = 0;
  int lost = 0;    // words that f32 found and the codec did not
  int gained = 0;  // the reverse
  double accuracy = 0.0;
  eval::Interval accuracy_interval;
  double change = 0.0;  // of accuracy, to f32's
  eval::Interval change_interval;
  double kl = 0.0;
  double answer_tokens = 0.0;
  double length_ratio = 1.0;  // answer_tokens over f32's
};

struct Share {
  int found = 0;
  int of = 0;
  double Value() const { return of == 0 ? 0.0 : static_cast<double>(found) / of; }
};

// Words that stand at one depth.
struct Band {
  Share words;
  int questions = 0;  // for one such word alone
  double kl = 0.0;    // their mean
};

// The mean over texts and its interval; if all texts agree, that of so many trials without any difference.
eval::Interval Around(const std::vector<double>& values, double mean) {
  const MeanInterval interval = MeanWithInterval(values, 0.95);
  const bool same = std::all_of(values.begin(), values.end(), [&](double v) { return v == values[0]; });
  if (!same && interval.low) return {*interval.low, *interval.high};
  const eval::Interval none = eval::PairedInterval(0, 0, static_cast<int>(values.size()));
  return {mean + none.low, mean + none.high};
}

Score ScoreOf(const std::vector<const eval::RulerResult*>& results, size_t subject) {
  Score score;
  std::map<std::array<int, 3>, std::array<Share, 2>> by_text;  // f32's and the codec's
  double reference_tokens = 0.0;
  for (const eval::RulerResult* result : results) {
    const eval::RulerAnswer& answer = result->answers[subject];
    const eval::RulerAnswer& reference = result->answers[0];
    auto& [exact, ours] = by_text[{static_cast<int>(result->task), result->length, result->sample}];
    ++score.questions;
    for (size_t i = 0; i < result->words.size(); ++i) {
      ++exact.of;
      ++ours.of;
      exact.found += reference.found[i];
      ours.found += answer.found[i];
      score.lost += reference.found[i] && !answer.found[i];
      score.gained += !reference.found[i] && answer.found[i];
    }
    score.kl += answer.kl;
    score.answer_tokens += answer.num_tokens;
    reference_tokens += reference.num_tokens;
  }
  std::vector<double> accuracies, changes;
  for (const auto& [text, shares] : by_text) {
    accuracies.push_back(shares[1].Value());
    changes.push_back(shares[1].Value() - shares[0].Value());
    score.accuracy += accuracies.back() / static_cast<double>(by_text.size());
    score.change += changes.back() / static_cast<double>(by_text.size());
    score.words += shares[1].of;
    score.found += shares[1].found;
  }
  score.texts = static_cast<int>(by_text.size());
  score.accuracy_interval = Around(accuracies, score.accuracy);
  score.accuracy_interval.low = std::max(0.0, score.accuracy_interval.low);
  score.accuracy_interval.high = std::min(1.0, score.accuracy_interval.high);
  score.change_interval = Around(changes, score.change);
  const auto questions = static_cast<double>(score.questions);
  score.kl /= questions;
  score.answer_tokens /= questions;
  score.length_ratio = reference_tokens == 0.0 ? 1.0 : score.answer_tokens * questions / reference_tokens;
  return score;
}

using Chosen = std::function<bool(const eval::RulerResult&)>;

std::vector<const eval::RulerResult*> Choose(const eval::RulerRun& run, const Chosen& chosen) {
  std::vector<const eval::RulerResult*> results;
  for (const eval::RulerResult& result : run.results) {
    if (chosen(result)) results.push_back(&result);
  }
  return results;
}

std::array<Band, kDepthBands> Depths(const std::vector<const eval::RulerResult*>& results, size_t subject) {
  std::array<Band, kDepthBands> bands{};
  for (const eval::RulerResult* result : results) {
    const eval::RulerAnswer& answer = result->answers[subject];
    for (size_t i = 0; i < result->words.size(); ++i) {
      if (result->words[i].depth < 0.0) continue;
      Band& band =
          bands[std::min(static_cast<size_t>(result->words[i].depth * kDepthBands), kDepthBands - 1)];
      ++band.words.of;
      band.words.found += answer.found[i];
      if (result->words.size() > 1) continue;
      ++band.questions;
      band.kl += answer.kl;
    }
  }
  for (Band& band : bands) band.kl /= std::max(1, band.questions);
  return bands;
}

json ToJson(const eval::Interval& interval) { return json{interval.low, interval.high}; }

json ToJson(const Score& score, const std::array<Band, kDepthBands>& depths) {
  json object{{"texts", score.texts},
              {"questions", score.questions},
              {"words", score.words},
              {"accuracy", score.accuracy},
              {"accuracy_interval", ToJson(score.accuracy_interval)},
              {"lost", score.lost},
              {"gained", score.gained},
              {"change", score.change},
              {"change_interval", ToJson(score.change_interval)},
              {"kl_mean", score.kl},
              {"answer_tokens", score.answer_tokens},
              {"answer_length_ratio", score.length_ratio},
              {"depths", json::array()}};
  for (size_t i = 0; i < kDepthBands; ++i) {
    if (depths[i].words.of == 0) continue;
    json band{{"from", static_cast<double>(i) / kDepthBands},
              {"words", depths[i].words.of},
              {"accuracy", depths[i].words.Value()}};
    if (depths[i].questions > 0) band["kl_mean"] = depths[i].kl;
    object["depths"].push_back(std::move(band));
  }
  return object;
}

std::vector<int> Lengths(const eval::RulerRun& run) {
  std::set<int> lengths;
  for (const eval::RulerResult& result : run.results) lengths.insert(result.length);
  return {lengths.begin(), lengths.end()};
}

std::vector<eval::RulerTask> Tasks(const eval::RulerRun& run) {
  std::set<eval::RulerTask> tasks;
  for (const eval::RulerResult& result : run.results) tasks.insert(result.task);
  return {tasks.begin(), tasks.end()};
}

void PrintLength(const eval::RulerRun& run, int length, int width) {
  const std::vector<eval::RulerTask> tasks = Tasks(run);
  fmt::print("\n{} tokens\n{:<{}}", length, "kv", width);
  for (const eval::RulerTask task : tasks) fmt::print(" {:>10}", eval::RulerTaskName(task));
  fmt::print(" {:>6} {:>18} {:>5} {:>6} {:>9} {:>7}\n", "all", "change, 95 %", "lost", "gained", "KL",
             "length");
  const auto all = Choose(run, [&](const eval::RulerResult& result) { return result.length == length; });
  for (size_t subject = 0; subject < run.subjects.size(); ++subject) {
    fmt::print("{:<{}}", run.subjects[subject].kv, width);
    for (const eval::RulerTask task : tasks) {
      const auto results = Choose(run, [&](const eval::RulerResult& result) {
        return result.length == length && result.task == task;
      });
      fmt::print(" {:>10.1f}", 100.0 * ScoreOf(results, subject).accuracy);
    }
    const Score score = ScoreOf(all, subject);
    fmt::print(" {:>6.1f}", 100.0 * score.accuracy);
    if (subject > 0) {
      fmt::print(" {:>18} {:>5} {:>6} {:>9.2g} {:>7.3f}",
                 fmt::format("{:+.1f} to {:+.1f}", 100.0 * score.change_interval.low,
                             100.0 * score.change_interval.high),
                 score.lost, score.gained, score.kl, score.length_ratio);
    }
    fmt::print("\n");
  }
}

// A line for each codec from `first` on, a column for each band; show returns nothing where there is nothing.
void PrintBands(const eval::RulerRun& run, const char* title, int width, size_t first,
                const std::function<std::string(const Band&)>& show) {
  fmt::print("\n{}\n{:<{}}", title, "kv", width);
  for (size_t i = 0; i < kDepthBands; ++i) {
    fmt::print(" {:>10}", fmt::format("{:.1f}-{:.1f}", static_cast<double>(i) / kDepthBands,
                                      static_cast<double>(i + 1) / kDepthBands));
  }
  fmt::print("\n");
  const auto all = Choose(run, [](const eval::RulerResult&) { return true; });
  for (size_t subject = first; subject < run.subjects.size(); ++subject) {
    fmt::print("{:<{}}", run.subjects[subject].kv, width);
    for (const Band& band : Depths(all, subject)) {
      const std::string text = show(band);
      fmt::print(" {:>10}", text.empty() ? "-" : text);
    }
    fmt::print("\n");
  }
}

void PrintDepths(const eval::RulerRun& run, int width) {
  const auto any = [&](const std::function<bool(const eval::RulerResult&)>& has) {
    return std::any_of(run.results.begin(), run.results.end(), has);
  };
  const auto has_depth = [](const eval::RulerResult& result) { return result.words[0].depth >= 0.0; };
  if (any(has_depth)) {
    PrintBands(run, "words found by depth, the share of the text before the place that gives the word", width,
               0, [](const Band& band) {
                 return band.words.of == 0 ? "" : fmt::format("{:.1f}", 100.0 * band.words.Value());
               });
  }
  if (any([&](const auto& result) { return has_depth(result) && result.words.size() == 1; })) {
    PrintBands(run, "KL by depth, of single and multikey", width, 1,
               [](const Band& band) { return band.questions == 0 ? "" : fmt::format("{:.2g}", band.kl); });
  }
}

}  // namespace

json RulerJson(const eval::RulerRun& run) {
  json subjects = json::array();
  for (size_t subject = 0; subject < run.subjects.size(); ++subject) {
    json scores = json::array();
    for (const int length : Lengths(run)) {
      for (const eval::RulerTask task : Tasks(run)) {
        const auto results = Choose(run, [&](const eval::RulerResult& result) {
          return result.length == length && result.task == task;
        });
        json score = ToJson(ScoreOf(results, subject), Depths(results, subject));
        score["length"] = length;
        score["task"] = eval::RulerTaskName(task);
        scores.push_back(std::move(score));
      }
    }
    const auto all = Choose(run, [](const eval::RulerResult&) { return true; });
    const eval::RulerRun::Codec& codec = run.subjects[subject];
    subjects.push_back({{"kv", codec.kv},
                        {"bits", codec.sizes.bits},
                        {"bytes_per_token", codec.sizes.bytes_per_token},
                        {"all", ToJson(ScoreOf(all, subject), Depths(all, subject))},
                        {"scores", std::move(scores)}});
  }
  json reference = subjects.front();
  subjects.erase(subjects.begin());
  return {{"reference", std::move(reference)}, {"results", std::move(subjects)}};
}

void PrintRuler(const eval::RulerRun& run) {
  size_t width = 16;
  for (const eval::RulerRun::Codec& codec : run.subjects) width = std::max(width, codec.kv.size() + 1);
  const int texts = run.results.empty() ? 0 : 1 + run.results.back().sample;
  fmt::print("words found of those that the text gives, in percent; {} texts of each task and length\n",
             texts);
  for (const int length : Lengths(run)) PrintLength(run, length, static_cast<int>(width));
  PrintDepths(run, static_cast<int>(width));
}

}  // namespace throng::studies
