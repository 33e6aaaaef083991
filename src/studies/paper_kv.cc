#include "studies/paper_kv.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/thread_pool.h"
#include "bench/attention_speed.h"
#include "bench/model_speed.h"
#include "bench/random_model.h"
#include "bench/throughput.h"
#include "bench/timing.h"
#include "engine/loaded_model.h"
#include "eval/questions.h"
#include "eval/recall.h"
#include "kv/cache/block_pool.h"
#include "model/config.h"
#include "model/model.h"

namespace throng::studies {
namespace {

using kv::SoftmaxKind;

// A score that a paper reports of a codec, as a share of that of f16 on the same tasks.
struct Score {
  const char* setting;
  const char* kv;
  SoftmaxKind softmax;
  std::optional<double> paper, paper_f16;
};

constexpr const char* kGearScores = "GEAR, 3 models, 3 reasoning tasks";
constexpr const char* kOutliers = "GEAR, LLaMA3-8B, GSM8k, without low rank";
constexpr const char* kTurboScores = "TurboAttention, 3 models, 3 reasoning tasks";
constexpr const char* kTurboParts = "TurboAttention, parts of it, AQuA";
constexpr SoftmaxKind kExact = SoftmaxKind::kExact, kSas = SoftmaxKind::kSas;

// rounds=0 is GEAR as published; without it, its terms are fitted in turns.
constexpr Score kScores[] = {
    {kGearScores, "kivi4", kExact, 35.05, 40.52},
    {kGearScores, "gearl4:rounds=0", kExact, 40.02, 40.52},
    {kGearScores, "gear4:rounds=0", kExact, 40.80, 40.52},
    {kGearScores, "gear4", kExact, {}, {}},
    {kGearScores, "kivi2", kExact, 25.25, 40.52},
    {kGearScores, "gearl2:rounds=0", kExact, 38.34, 40.52},
    {kGearScores, "gear2:r=4,s=2%,rounds=0", kExact, 40.20, 40.52},
    {kGearScores, "gear2:r=4,s=2%", kExact, {}, {}},
    {kOutliers, "compose:b=2,s=2%", kExact, 36.01, 54.21},
    {kTurboScores, "flashq4", kSas, 60.27, 61.89},
    {kTurboScores, "flashq-mixed", kSas, 53.31, 61.89},
    {kTurboParts, "flashq4", kExact, 49.60, 50.79},
    {kTurboParts, "f16", kSas, 50.12, 50.79},
    {kTurboParts, "flashq4", kSas, 48.03, 50.79},
};

// Bytes of the cache as a share of f16's, as the paper counts them for prompts of about 1000 tokens.
struct Size {
  const char* kv;
  double paper;
};
constexpr Size kSizes[] = {{"kivi4", 34.2}, {"gearl4:rounds=0", 29.0}, {"gear4:rounds=0", 31.0},
                           {"kivi2", 21.7}, {"gearl2:rounds=0", 23.6}, {"gear2:r=4,s=2%,rounds=0", 27.6}};

std::string With(const char* kv, SoftmaxKind softmax) {
  return softmax == kSas ? std::string(kv) + " and SAS" : kv;
}

class Measurement {
 public:
  Measurement(const PaperKvFlags& flags, const engine::LoadedModel& model,
              const std::vector<eval::Question>& questions, ThreadPool& threads)
      : flags_(flags), model_(model), questions_(questions), threads_(threads) {}

  std::vector<PaperRow> Run() {
    AddScores();
    AddSizes();
    AddTimes();
    AddThroughput();
    return std::move(rows_);
  }

 private:
  void Say(const std::string& what) const {
    if (flags_.on_progress) flags_.on_progress(what);
  }
  void Add(std::string setting, std::string measure, std::string unit, std::optional<double> paper,
           double value) {
    rows_.push_back({std::move(setting), std::move(measure), std::move(unit), paper, {value}});
  }

  // The recall of the codecs with one softmax, as shares of f32's, and their sizes.
  void Ask(SoftmaxKind softmax) {
    eval::EvalOptions options;
    options.softmax = softmax;
    for (const Score& score : kScores) {
      if (score.softmax != softmax) continue;
      if (std::find(options.codecs.begin(), options.codecs.end(), score.kv) == options.codecs.end()) {
        options.codecs.emplace_back(score.kv);
      }
    }
    options.progress = [this](size_t done, size_t total) {
      Say(fmt::format("question {} of {}", done, total));
    };
    const std::vector<eval::CodecRecall> results = eval::MeasureRecall(model_, questions_, options, threads_);
    const double all = results.front().recall.accuracy;
    for (size_t i = 1; i < results.size(); ++i) {
      const std::string& kv = options.codecs[i - 1];
      kept_[With(kv.c_str(), softmax)] = 100 * results[i].recall.accuracy / all;
      size_[kv] = 100 / results[i].sizes.ratio_to_f16;
    }
  }

  void AddScores() {
    Ask(kExact);
    Ask(kSas);
    for (const Score& score : kScores) {
      const std::string name = With(score.kv, score.softmax);
      std::optional<double> paper;
      if (score.paper) paper = 100 * *score.paper / *score.paper_f16;
      Add(score.setting, name + ", score kept", "%", paper, kept_.at(name));
    }
  }

  void AddSizes() {
    for (const Size& size : kSizes) {
      Add("GEAR, bytes of the cache", fmt::format("{}, of f16's", size.kv), "%", size.paper,
          size_.at(size.kv));
    }
  }

  // How many times as fast as f16 a codec's attention is.
  double Faster(const char* kv, SoftmaxKind softmax, int keys, int queries) {
    Say(fmt::format("attention of {} at {} keys", queries, keys));
    const bench::MeasureInput input(
        {.keys = keys, .queries = queries, .heads = 32, .kv_heads = 8, .head_dim = 128});
    bench::MeasureCase f16({.kv = "f16"}, kExact, input, threads_);
    bench::MeasureCase codec({.kv = kv}, softmax, input, threads_);
    std::vector<double> f16_seconds, seconds;
    for (int round = 0; round < flags_.rounds + 1; ++round) {
      const double one = bench::MeasureSeconds([&] { f16.Run(); });
      const double other = bench::MeasureSeconds([&] { codec.Run(); });
      if (round == 0) continue;  // memory is touched for the first time
      f16_seconds.push_back(one);
      seconds.push_back(other);
    }
    return bench::Median(f16_seconds) / bench::Median(seconds);
  }

  void AddTimes() {
    const std::string setting = "TurboAttention, attention against f16, at most";
    Add(setting, fmt::format("flashq4 and SAS, decode, {} keys", flags_.keys), "x", 1.7,
        Faster("flashq4", kSas, flags_.keys, 1));
    Add(setting, fmt::format("flashq4 and SAS, prefill, {} keys", flags_.keys / 8), "x", 1.8,
        Faster("flashq4", kSas, flags_.keys / 8, flags_.queries));
  }

  // Tokens per second of as many sequences as a budget holds that is just enough for flags.batch of f16.
  void AddThroughput() {
    Say(fmt::format("making random weights of {}", flags_.shape));
    const std::vector<uint8_t> bytes = bench::RandomModel(flags_.shape, model::TensorType::kQ4_0);
    const model::GgufFile file(bytes, flags_.shape);
    const std::unique_ptr<model::Transformer> model =
        model::LoadTransformer(file, {.repack = engine::ShouldRepack("auto", file)});
    const int tokens = flags_.prompt + flags_.answer;
    const size_t budget =
        bench::ModelSpeed(file, *model, {.kv = "f16"}, kExact, 0, threads_).DecodeBytes(flags_.batch, tokens);
    const auto measure = [&](const char* kv, std::vector<int> batches) {
      Say(fmt::format("throughput of {}", kv));
      const bench::ThroughputLoad load{.prompt = flags_.prompt,
                                       .answer = flags_.answer,
                                       .compute_prompt = false,
                                       .rounds = flags_.rounds,
                                       .batches = std::move(batches)};
      return MeasureThroughput(file, *model, {.kv = kv}, kExact, budget, load, threads_);
    };
    const std::vector<bench::ThroughputRow> f16 = measure("f16", {flags_.batch});
    const auto add = [&](const char* setting, const char* kv, std::optional<double> paper) {
      const std::vector<bench::ThroughputRow> rows = measure(kv, {});
      const auto best = std::max_element(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
        return a.DecodeRate() < b.DecodeRate();
      });
      Add(setting, fmt::format("{}, tokens/s over f16's", kv), "x", paper,
          best->DecodeRate() / f16.front().DecodeRate());
    };
    const char* gear = "GEAR, most sequences in the same memory";
    add(gear, "kivi2", 4.53);
    add(gear, "gearl2", 5.07);
    add(gear, "gear2", 4.42);
    add("TurboAttention, most sequences in the same memory", "flashq4", 2.37);
    // The paper's ratio is that of a whole GPU.
    const auto weights = static_cast<double>(model::WeightBytes(file));
    const auto caches = static_cast<double>(f16.front().kv_bytes);
    const auto smaller = static_cast<double>(measure("gear2", {flags_.batch}).front().kv_bytes);
    const char* memory = "GEAR, peak memory at an equal batch";
    Add(memory, "f16 over gear2, with the weights", "x", 2.39, (weights + caches) / (weights + smaller));
    Add(memory, "f16 over gear2, caches alone", "x", {}, caches / smaller);
  }

  const PaperKvFlags& flags_;
  const engine::LoadedModel& model_;
  const std::vector<eval::Question>& questions_;
  ThreadPool& threads_;
  std::vector<PaperRow> rows_;
  std::map<std::string, double> kept_, size_;  // percent, by codec
};

}  // namespace

std::vector<PaperRow> MeasureKv(const PaperKvFlags& flags, const engine::LoadedModel& model,
                                const std::vector<eval::Question>& questions, ThreadPool& threads) {
  return Measurement(flags, model, questions, threads).Run();
}

}  // namespace throng::studies
