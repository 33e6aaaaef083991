#include "engine/features.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "kv/codec_table.h"
#include "kv/layer_codecs.h"

namespace throng::engine {
namespace {

constexpr FeatureLine kLines[] = {
    {Feature::kPrefixCache, "prefix cache", nullptr},
    {Feature::kChunkedPrefill, "chunked prefill", nullptr},
    {Feature::kBatch, "batches", nullptr},
    {Feature::kGqa, "query heads that share a KV head, 1 to all", nullptr},
    {Feature::kSlidingWindow, "sliding window", nullptr},
    {Feature::kHead64, "head size 64", nullptr},
    {Feature::kHead80, "head size 80", nullptr},
    {Feature::kHead96, "head size 96", nullptr},
    {Feature::kHead128, "head size 128", nullptr},
    {Feature::kHead256, "head size 256", nullptr},
    {Feature::kOddHead, "head sizes that are no multiple of 8, or above 256", "must be a multiple of 8"},
    {Feature::kSas, "`--softmax sas`", nullptr},
    {Feature::kFork, "fork of a sequence", nullptr},
    {Feature::kSaveAndLoad, "`--save-cache`, `--load-cache`", nullptr},
    {Feature::kSpill, "`--spill`", nullptr},
    {Feature::kSpillAlone, "`--spill` with `--no-prefix-cache`", "spilled from the prefix cache"},
};

// Of FlashQ: another open page, which what works with a codec depends on.
const std::string kBuffer = ":buffer=int8";

// Empty now: a line here is how a codec says that it cannot do what all others can.
constexpr std::array<FeatureException, 0> kExceptions = {};

}  // namespace

std::span<const FeatureLine> FeatureLines() { return kLines; }

std::vector<std::string> FeatureCodecs() {
  std::vector<std::string> names;
  for (const kv::CodecEntry& entry : kv::CodecTable()) names.push_back(entry.name);
  names.emplace_back(kv::kFlashqMixed);
  for (const char* name : {"flashq4", "flashq2", "flashq-mixed"}) names.push_back(name + kBuffer);
  return names;
}

const char* Refusal(std::string_view codec, Feature feature) {
  for (const FeatureException& exception : kExceptions) {
    if (codec == exception.codec && feature == exception.feature) return exception.refusal;
  }
  const auto line = std::find_if(std::begin(kLines), std::end(kLines),
                                 [feature](const FeatureLine& l) { return l.feature == feature; });
  THRONG_CHECK(line != std::end(kLines));
  return line->refusal;
}

std::string FeatureTable() {
  const std::vector<std::string> codecs = FeatureCodecs();
  const auto names = [&](const FeatureLine& line, bool refused) {
    std::string text;
    size_t count = 0;
    for (const std::string& codec : codecs) {
      if ((Refusal(codec, line.feature) != nullptr) != refused) continue;
      text += (count++ == 0 ? "`" : ", `") + codec + "`";
    }
    return count == codecs.size() ? "all" : count == 0 ? "none" : text;
  };
  std::string table = "| feature | works with | refused at start with |\n|---|---|---|\n";
  for (const FeatureLine& line : kLines) {
    table += fmt::format("| {} | {} | {} |\n", line.name, names(line, false), names(line, true));
  }
  return table;
}

}  // namespace throng::engine
