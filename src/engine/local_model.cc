#include "engine/local_model.h"

#include <algorithm>
#include <climits>
#include <filesystem>
#include <utility>

#include "attention/key_bias.h"
#include "attention/sas.h"
#include "base/error.h"
#include "base/log.h"
#include "engine/scheduler.h"
#include "hwy/targets.h"
#include "kv/codec_table.h"
#include "kv/layer_codecs.h"
#include "model/config.h"

namespace throng::engine {
namespace {

// The tokens that a choice takes at most, with the one that ends it: each has a byte or more. So a short
// choice needs no more of the context than it can fill. Empty without choices.
std::optional<int> LongestAnswer(const llm::Constraint& constraint) {
  if (constraint.choices.empty()) return std::nullopt;
  size_t bytes = 0;
  for (const std::string& choice : constraint.choices) bytes = std::max(bytes, choice.size());
  return static_cast<int>(std::min<size_t>(bytes, INT_MAX - 1)) + 1;
}

LocalOptions FillIn(LocalOptions options, const model::Transformer& transformer) {
  if (options.model.empty()) options.model = EmbeddedModelPath();
  if (options.kv_budget_bytes == 0) options.kv_budget_bytes = DefaultKvBudget(transformer);
  options.threads = ThreadsOrAll(options.threads);
  if (options.threads < 1 || options.threads > 1024) {
    throw MakeError(ErrorCode::kInvalid, "engine: threads is {}, allowed is 0 (all) to 1024",
                    options.threads);
  }
  if (options.eviction != "next-use" && options.eviction != "lru") {
    throw MakeError(ErrorCode::kInvalid, "engine: eviction is {}, allowed is next-use or lru",
                    options.eviction);
  }
  if (options.lookup != "auto" && options.lookup != "off") {
    throw MakeError(ErrorCode::kInvalid, "engine: lookup is {}, allowed is auto or off", options.lookup);
  }
  if (options.max_context == 0) options.max_context = transformer.Config().context_length;
  return options;
}

CodecChoice Choose(const LocalOptions& options, const LoadedModel& loaded) {
  ThreadPool threads(options.threads);
  return loaded.ChooseCodecs(CodecsOf(options), threads);
}

// The bias that the cache's keys lack, if it is the model's; null otherwise.
std::shared_ptr<const attention::KeyBias> RemovedBias(const model::Transformer& transformer,
                                                      const kv::BlockLayout& layout) {
  return layout.key_bias == kv::KeyBias::kModel ? transformer.KeyBias() : nullptr;
}

void SayRemovedBias(const model::Transformer& transformer, const kv::BlockLayout& layout) {
  const auto bias = RemovedBias(transformer, layout);
  if (bias == nullptr) return;
  size_t pairs = 0, all = 0;
  for (const attention::LayerKeyBias& layer : *bias) {
    for (const attention::HeadKeyBias& head : layer.heads) pairs += head.pairs.size();
    all += layer.removed.size();
  }
  spdlog::info(
      "KV cache: keys are stored without the bias of the model's key projection in {} of {} pairs; attention "
      "adds it to the scores",
      pairs, all / 2);
}

kv::BlockPool MakePool(const LocalOptions& options, const CodecChoice& codecs,
                       model::Transformer& transformer) {
  const model::ModelConfig& config = transformer.Config();
  kv::BlockLayout layout = kv::WithReaches(codecs.Layout(config), config.cache_reaches);
  const kv::SoftmaxKind softmax = attention::ParseSoftmax(options.softmax);
  auto memory = transformer.MakeMemory(layout, softmax, options.kv_budget_bytes);
  return kv::BlockPool(std::move(layout), options.kv_budget_bytes, softmax, std::move(memory));
}

EngineOptions ForEngine(const LocalOptions& options, const kv::BlockPool& pool, size_t bytes_to_repack) {
  const size_t least_bytes = Scheduler::MostBytes(pool, kv::kPageTokens);
  if (least_bytes > pool.BudgetBytes()) {
    throw MakeError(
        ErrorCode::kInvalid, "engine: the KV budget is {} bytes, one block of {} tokens takes {}{}",
        pool.BudgetBytes(), kv::kPageTokens, least_bytes,
        bytes_to_repack == 0
            ? ""
            : fmt::format("; the weights' copy takes {} bytes more (repack off: none)", bytes_to_repack));
  }
  return {.max_batch = options.max_batch,
          .step_tokens = options.step_tokens,
          .chunk_tokens = options.chunk_tokens,
          .lookup = options.lookup == "off" ? Lookup::kOff : Lookup::kAuto,
          .prefix_cache = options.prefix_cache,
          .max_context = options.max_context,
          .spill_folder = options.spill,
          .spill_bytes = options.spill_bytes};
}

// Of a model without a name of its own: that of its file or folder, without what tells parts apart.
std::string NameOfFile(const std::string& path) {
  constexpr std::string_view kSuffix = ".gguf", kPart = "-00001-of-00001";
  std::string name = std::filesystem::path(path).filename().string();
  if (!name.ends_with(kSuffix)) return name;
  name.resize(name.size() - kSuffix.size());
  if (name.size() <= kPart.size()) return name;
  const std::string_view part = std::string_view(name).substr(name.size() - kPart.size());
  const bool is_part = std::ranges::equal(part, kPart, [](char a, char b) {
    return a == b || (std::isdigit(static_cast<unsigned char>(a)) && (b == '0' || b == '1'));
  });
  if (is_part) name.resize(name.size() - kPart.size());
  return name;
}

// The target that Highway's dispatch chooses: the lowest bit is the best target.
const char* SimdTarget() {
  const int64_t usable = HWY_SUPPORTED_TARGETS & HWY_TARGETS;
  return hwy::TargetName(usable & -usable);
}

}  // namespace

uint64_t DefaultKvBudget(const model::Transformer& transformer) { return transformer.FreeBytes() / 2; }

CodecOptions CodecsOf(const LocalOptions& options) {
  return {.flags = {.kv = options.kv, .k = options.keys, .v = options.values},
          .softmax = attention::ParseSoftmax(options.softmax),
          .calibration = options.calibration,
          .out = options.kv_out,
          .stored = options.kv_choice,
          .stored_in = options.kv_choice_in};
}

LocalModel::LocalModel(const LocalOptions& options)
    : LocalModel(options, LoadModel(options.model, options.repack, options.kv_budget_bytes,
                                    options.chat_template, options.max_context, options.device)) {}

LocalModel::LocalModel(LocalOptions options, LoadedModel loaded)
    : loaded_(std::move(loaded)),
      options_(FillIn(std::move(options), *loaded_.transformer)),
      codecs_(Choose(options_, loaded_)),
      pool_(MakePool(options_, codecs_, *loaded_.transformer)),
      threads_(options_.threads),
      vocabulary_(loaded_.MakeVocabulary()),
      answers_(loaded_.Answers()),
      spelling_(answers_.tokens.empty() ? vocabulary_ : loaded_.MakeVocabulary(answers_)),
      constraints_(vocabulary_),
      forms_(spelling_),
      engine_(*loaded_.transformer, vocabulary_, pool_, threads_,
              ForEngine(options_, pool_, loaded_.transformer->BytesToRepack())) {
  SayRemovedBias(*loaded_.transformer, pool_.Layout());
  if (options_.repack_at_start) loaded_.transformer->Repack(threads_);
}

std::shared_ptr<Constraint> LocalModel::Compile(const llm::Constraint& constraint) {
  return constraint.Empty() ? nullptr : constraints_.Get(constraint);
}

std::vector<int32_t> LocalModel::EncodeWithin(const Prompt& prompt, int most_tokens) const {
  std::vector<int32_t> tokens = Encode(prompt);
  if (tokens.size() > static_cast<size_t>(most_tokens)) {
    throw MakeError(ErrorCode::kExhausted,
                    "prompt: it has {} tokens, the context is {} for prompt and answer", tokens.size(),
                    options_.max_context);
  }
  return tokens;
}

EngineRequest LocalModel::MakeRequest(TextRequest request) {
  EngineRequest asked;
  const int context = options_.max_context;
  asked.prompt = EncodeWithin(request.prompt, request.max_tokens == 0 ? context : context - 1);
  asked.max_tokens = request.max_tokens.value_or(context - static_cast<int>(asked.prompt.size()));
  asked.sampling = request.sampling;
  asked.stop = std::move(request.stop);
  Constrain(request, asked);
  asked.rules = std::move(request.rules);
  asked.ignore_end = request.ignore_end;
  asked.logprobs = request.logprobs;
  asked.prompt_logprobs = request.prompt_logprobs;
  return asked;
}

// Thoughts and calls of tools make a grammar of their own, of which the text's constraint is a part.
void LocalModel::Constrain(const TextRequest& request, EngineRequest& asked) {
  const auto constrain_text = [&] {
    asked.constraint = Compile(request.constraint);
    if (const std::optional<int> longest = LongestAnswer(request.constraint))
      asked.max_tokens = std::min(asked.max_tokens, *longest);
  };
  if (request.form == nullptr) return constrain_text();
  const bool may_think = answers_.HasThoughts() && request.form->thought != llm::AnswerForm::Thought::kNever;
  const bool has_limit = may_think && request.thought_tokens.has_value();
  const bool is_text = !may_think && answers_.text_begin.empty() && request.form->tools.empty();
  if (is_text && !request.constraint.Empty()) return constrain_text();
  asked.spelling = spelling_;
  if (request.form->tools.empty() && request.constraint.Empty() && !has_limit) return;  // anything goes
  llm::AnswerForm form = *request.form;
  form.text = request.constraint;
  asked.constraint = forms_.Get(llm::KeyOf(form), [&] { return llm::CompileAnswer(form); });
  if (!has_limit) return;
  const std::string end = answers_.Named(answers_.thought_end);
  asked.thought_limit = {.most_tokens = *request.thought_tokens,
                         .begin = answers_.thought_begin,
                         .end = answers_.thought_end,
                         .begun = form.thought == llm::AnswerForm::Thought::kBegun,
                         .end_tokens = loaded_.tokenizer->Encode(end, {.parse_special = true}),
                         .spelling = spelling_};
}

int LocalModel::CountTokens(std::span<const int32_t> tokens, size_t bytes) const {
  int count = 0;
  for (size_t at = 0; at < bytes && static_cast<size_t>(count) < tokens.size(); ++count)
    at += spelling_->Bytes(tokens[static_cast<size_t>(count)]).size();
  return count;
}

EngineRequest LocalModel::MakeEmbedding(const Prompt& prompt) const {
  if (!Config().pooling) {
    throw MakeError(ErrorCode::kUnsupported,
                    "embeddings: {} ranks texts (pooling_type in its file), and makes no embeddings", Name());
  }
  EngineRequest asked;
  asked.prompt = EncodeWithin(prompt, options_.max_context);
  asked.max_tokens = 0;
  asked.pooling = Config().pooling;
  return asked;
}

std::string LocalModel::Name() const {
  if (!Config().name.empty()) return Config().name;
  return NameOfFile(options_.model);
}

std::string LocalModel::Identity() const {
  return fmt::format("local model={} kv={} {} template={}", loaded_.transformer->WeightsDigest().Hex(),
                     kv::LayoutName(pool_.Layout()), Computation(), loaded_.chat.Name());
}

std::string LocalModel::Setup() const {
  return fmt::format("{} kv={} {} template={}", options_.model, kv::LayoutName(pool_.Layout()), Computation(),
                     loaded_.chat.Name());
}

// Names the removed bias and how much may be left: pages with whole keys, or with other parts of them, have
// the same codecs.
std::string LocalModel::Computation() const {
  const bool removed = pool_.Layout().key_bias == kv::KeyBias::kMean ||
                       RemovedBias(*loaded_.transformer, pool_.Layout()) != nullptr;
  const std::string device = loaded_.transformer->Device();
  return fmt::format("softmax={} {}{}", options_.softmax,
                     device.empty() ? fmt::format("simd={}", SimdTarget()) : "device=" + device,
                     removed ? fmt::format(" key-bias=removed,{:.3g}", attention::kMostLeft) : "");
}

kv::PageSource LocalModel::Source() const { return {loaded_.transformer->WeightsDigest(), Computation()}; }

}  // namespace throng::engine
