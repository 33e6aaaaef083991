#include "bench/throughput.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text/human_bytes.h"
#include "kv/codec.h"

namespace throng::bench {
namespace {

std::vector<int> Doubling(int most) {
  std::vector<int> batches;
  for (int batch = 1; batch < most; batch *= 2) batches.push_back(batch);
  batches.push_back(most);
  return batches;
}

void CheckAnswers(const Answers& answers, const std::vector<int32_t>& alone) {
  for (size_t i = 0; i < answers.tokens.size(); ++i) {
    if (answers.tokens[i] == alone) continue;
    throw MakeError(ErrorCode::kCorrupt, "bench: sequence {} of {} answers otherwise than it does alone",
                    i + 1, answers.tokens.size());
  }
}

}  // namespace

int DefaultPrompt(int context, int answer) {
  return std::clamp((context - answer) / kv::kPageTokens * kv::kPageTokens, kv::kPageTokens, 1024);
}

double ThroughputRow::WholeRate() const {
  if (prompt_seconds == 0) return 0;
  return decode.tokens / (Seconds() + batch * prompt_seconds);
}

std::vector<ThroughputRow> MeasureThroughput(const model::GgufFile& file, model::Transformer& model,
                                             const kv::CodecFlags& codecs, kv::SoftmaxKind softmax,
                                             size_t budget_bytes, const ThroughputLoad& load,
                                             ThreadPool& threads) {
  THRONG_CHECK(std::is_sorted(load.batches.begin(), load.batches.end()));
  ResetPeakResidentBytes();
  ModelSpeed speed(file, model, codecs, softmax, budget_bytes, threads);
  const int tokens = load.prompt + load.answer;
  const size_t each = speed.DecodeBytes(1, tokens);
  const int most = static_cast<int>(std::min<size_t>(budget_bytes / each, 1 << 20));
  if (most == 0) {
    throw MakeError(ErrorCode::kExhausted, "bench: {} do not hold one sequence of {} tokens, which takes {}",
                    HumanBytes(static_cast<double>(budget_bytes)), tokens,
                    HumanBytes(static_cast<double>(each)));
  }
  double prompt_seconds = 0;
  if (load.compute_prompt) {
    prompt_seconds = speed.FillPrompt(load.prompt);
  } else {
    speed.Fill(1, load.prompt);
  }
  speed.Answer(1, 1);  // the first pass of few tokens may copy the weights
  const Answers first = speed.Answer(load.answer, load.rounds);
  const std::vector<int32_t>& alone = first.tokens.front();
  std::vector<ThroughputRow> rows;
  for (const int batch : load.batches.empty() ? Doubling(most) : load.batches) {
    if (batch > most) {
      spdlog::warn("left out: a batch of {}; {} hold {} sequences of {} tokens with {}", batch,
                   HumanBytes(static_cast<double>(budget_bytes)), most, tokens, codecs.kv);
      break;
    }
    spdlog::info("{}, batch {}", codecs.kv, batch);
    speed.Grow(batch);
    Answers answers = batch == 1 ? first : speed.Answer(load.answer, load.rounds);
    CheckAnswers(answers, alone);
    rows.push_back({.batch = batch,
                    .most = most,
                    .decode = std::move(answers.speed),
                    .prompt_seconds = prompt_seconds,
                    .kv_bytes = speed.GetLedger().peak.Total(),
                    .process_bytes = PeakResidentBytes(),
                    .answer = alone});
  }
  return rows;
}

}  // namespace throng::bench
