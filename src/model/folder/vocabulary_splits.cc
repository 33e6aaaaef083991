// Recognises how a tokenizer.json cuts text into words: by its expressions, which are those of the table of
// tokenizer_pre.cc as models write them.
#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "base/log.h"
#include "model/folder/vocabulary.h"
#include "model/tokenizer/tokenizer_split.h"

namespace throng::model {
namespace {

using nlohmann::json;

#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define WORD R"([^\r\n\p{L}\p{N}]?)"
#define SPACES R"(\s*[\r\n]+|\s+(?!\S)|\s+)"
#define CL100K(digits) CONTRACTION "|" WORD R"(\p{L}+|)" digits R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|)" SPACES
// As tiktoken writes it: without steps back, which give the same words.
#define TIKTOKEN(digits)                                       \
  R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|)" digits \
  R"(| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"
#define O200K(ending, digits)                                                    \
  WORD UPPER "*" LOWER "+" ending "|" WORD UPPER "+" LOWER "*" ending "|" digits \
             R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" SPACES
#define DEEPSEEK                                                                             \
  R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)" \
  R"( ?[\p{P}\p{S}]+[\r\n]*|)" SPACES

// Steps that are no expressions.
constexpr std::string_view kGpt2 = "<GPT-2's expression>";
constexpr std::string_view kDigits = "<each digit>";

constexpr std::string_view kLlama3[] = {CL100K(R"(\p{N}{1,3})")};
constexpr std::string_view kLlama3Tiktoken[] = {TIKTOKEN(R"(\p{N}{1,3})")};
constexpr std::string_view kQwen2[] = {CL100K(R"(\p{N})")};
constexpr std::string_view kQwen35[] = {CONTRACTION R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|)"
                                                    R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" SPACES};
constexpr std::string_view kGpt4o[] = {O200K(CONTRACTION "?", R"(\p{N}{1,3})")};
constexpr std::string_view kTekken[] = {O200K("", R"(\p{N})")};
constexpr std::string_view kBytes[] = {kGpt2};
constexpr std::string_view kDigitsAndBytes[] = {kDigits, kGpt2};
constexpr std::string_view kDeepSeek[] = {R"(\p{N}{1,3})", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK};

struct Split {
  std::span<const std::string_view> steps;
  const char* name;  // tokenizer.ggml.pre
};

// Where several have the same steps, they differ in traits (tokenizer_split.h).
constexpr Split kSplits[] = {
    {kLlama3, "llama-bpe"},
    {kLlama3, "dbrx"},
    {kLlama3Tiktoken, "dbrx"},
    {kLlama3Tiktoken, "llama-bpe"},
    {kQwen2, "qwen2"},
    {kQwen2, "megrez"},
    {kQwen35, "qwen35"},
    {kGpt4o, "gpt-4o"},
    {kGpt4o, "kanana2"},
    {kTekken, "tekken"},
    {kBytes, "gpt-2"},
    {kBytes, "olmo"},
    {kDigitsAndBytes, "starcoder"},
    {kDigitsAndBytes, "command-r"},
    {kDeepSeek, "deepseek-v3"},
};

// Some files (DeepSeek's) have line breaks themselves in their expressions, others their names.
std::string WithEscapes(const std::string& expression) {
  std::string escaped;
  for (const char c : expression) {
    if (c == '\r') {
      escaped += "\\r";
    } else if (c == '\n') {
      escaped += "\\n";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

// A step, or the steps of a sequence: what is not known is there as JSON.
void AddSteps(const json& step, std::vector<std::string>& steps) {
  const std::string type = step.value("type", "");
  if (type == "Sequence" && step.contains("pretokenizers") && step["pretokenizers"].is_array()) {
    for (const json& part : step["pretokenizers"]) AddSteps(part, steps);
    return;
  }
  const json pattern = step.value("pattern", json::object());
  if (type == "Split" && pattern.is_object() && pattern.contains("Regex") && pattern["Regex"].is_string()) {
    steps.push_back(WithEscapes(pattern["Regex"].get<std::string>()));
  } else if (type == "Digits" && step.value("individual_digits", false)) {
    steps.emplace_back(kDigits);
  } else if (type == "ByteLevel" && !step.value("add_prefix_space", true)) {
    if (step.value("use_regex", true)) steps.emplace_back(kGpt2);
  } else {
    steps.push_back(ShortJson(step));
  }
}

// Whether text is put into Unicode's normal form C; there may be no other normaliser.
bool Composes(const JsonObject& tokenizer) {
  const auto normalizer = tokenizer.Object("normalizer");
  if (!normalizer) return false;
  const std::string type = normalizer->TextOr("type", "");
  if (type == "NFC") return true;
  const json* parts = normalizer->Find("normalizers");
  if (type == "Sequence" && parts != nullptr && parts->empty()) return false;
  tokenizer.Refuse("normalizer", "none and NFC for a vocabulary of bytes");
}

}  // namespace

std::string RecognisePreTokenizer(const JsonObject& tokenizer) {
  std::vector<std::string> steps;
  const auto given = tokenizer.Object("pre_tokenizer");
  try {
    if (given) AddSteps(*tokenizer.Find("pre_tokenizer"), steps);
  } catch (const json::exception&) {  // a value of another kind
    tokenizer.Refuse("pre_tokenizer", "those of docs/tokenizers.md");
  }
  const bool composes = Composes(tokenizer);
  const bool whole_words = tokenizer.Object("model")->BoolOr("ignore_merges", false);
  std::string nearly;
  for (const Split& split : kSplits) {
    if (!std::ranges::equal(split.steps, steps)) continue;
    const PreTokenizer& pre = FindPreTokenizer(split.name);
    if (pre.Has(kComposes) != composes) continue;
    if (pre.Has(kWholeWordsFirst) == whole_words) return split.name;
    nearly = split.name;
  }
  if (nearly.empty()) tokenizer.Refuse("pre_tokenizer", "those of docs/tokenizers.md");
  spdlog::warn("{}: ignore_merges is {}; taken as the other for the split {}", tokenizer.Name(), whole_words,
               nearly);
  return nearly;
}

}  // namespace throng::model
