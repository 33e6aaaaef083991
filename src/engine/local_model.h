// A model in this process, ready to answer: its file, KV cache and engine. The server, the command line and
// Python call it directly; local_llm.h makes it a backend of the simulator.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "engine/codecs/codec_config.h"
#include "engine/engine.h"
#include "engine/loaded_model.h"
#include "engine/local_options.h"
#include "engine/sampling/constraint_cache.h"
#include "kv/cache/block_pool.h"
#include "llm/llm.h"
#include "llm/tools/answer_grammar.h"

namespace throng::engine {

// Bytes: half of the memory that is free now and that the model will leave.
uint64_t DefaultKvBudget(const model::Transformer& transformer);

CodecOptions CodecsOf(const LocalOptions& options);

// A request as callers write it; LocalModel::MakeRequest turns it into tokens.
struct TextRequest {
  Prompt prompt;
  std::optional<int> max_tokens{};  // not set: all that the prompt leaves of the context
  llm::Sampling sampling{};
  std::vector<std::string> stop{};  // the text ends before the first of these
  llm::Constraint constraint{};     // of the text, where `form` says what else there is
  // Thoughts and calls of tools, in LocalModel::Answers; null: the answer is text.
  std::shared_ptr<const llm::AnswerForm> form{};
  std::optional<int> thought_tokens{};  // after so many tokens of the answer, a thought is ended
  // The rest as in EngineRequest:
  LogitRules rules{};
  bool ignore_end = false;
  std::optional<int> logprobs{};
  bool prompt_logprobs = false;
};

// Any thread may call any method.
class LocalModel {
 public:
  // Throws kInvalid for options that cannot work, and what LoadModel throws.
  explicit LocalModel(const LocalOptions& options);
  // options.model serves only to name the model if its file does not.
  LocalModel(LocalOptions options, LoadedModel loaded);
  LocalModel(const LocalModel&) = delete;
  LocalModel& operator=(const LocalModel&) = delete;

  std::vector<int32_t> Encode(const Prompt& prompt) const { return loaded_.Encode(prompt); }
  // Returns null for an empty constraint. Throws kInvalid or kUnsupported for a schema that cannot be one.
  std::shared_ptr<Constraint> Compile(const llm::Constraint& constraint);
  // Leaves callbacks, key and priority unset. Throws kExhausted if the prompt leaves no room for an answer,
  // and what Compile throws.
  EngineRequest MakeRequest(TextRequest request);
  // How this model writes thoughts and calls of tools.
  const llm::AnswerFormat& Answers() const { return answers_; }
  // How many of an answer's tokens begin in the first so many bytes of its text, of a request with a form.
  int CountTokens(std::span<const int32_t> tokens, size_t bytes) const;
  // Whose result is the prompt's embedding, pooled as the model's file says. Throws kUnsupported for a model
  // that makes none, and kExhausted as above.
  EngineRequest MakeEmbedding(const Prompt& prompt) const;

  uint64_t Submit(EngineRequest request) { return engine_.Submit(std::move(request)); }
  void Cancel(uint64_t id) { engine_.Cancel(id); }
  void Raise(uint64_t id, int priority) { engine_.Raise(id, priority); }

  // Whether ExpectNext has any effect.
  bool WantsExpectations() const { return options_.prefix_cache && options_.eviction == "next-use"; }
  void ExpectNext(uint32_t agent, int32_t step) { engine_.ExpectNext(agent, step); }

  EngineState State() const { return engine_.State(); }
  MetricsRegistry& Metrics() { return engine_.Metrics(); }

  const LocalOptions& Options() const { return options_; }  // with the defaults filled in
  const LoadedModel& Loaded() const { return loaded_; }
  const model::ModelConfig& Config() const { return loaded_.transformer->Config(); }
  std::string Name() const;      // from the file's metadata, else the file's name
  std::string Identity() const;  // what answers depend on: weights, codecs, softmax, SIMD target, template
  std::string Setup() const;     // the same without reading the weights, for which the file's path stands

  // For kv::SavePages and kv::LoadPages, and for requests that start from such pages.
  kv::BlockPool& Blocks() { return pool_; }
  kv::PageSource Source() const;

  const CodecChoice& Codecs() const { return codecs_; }
  double KvBytesPerToken() const { return BytesPerToken(pool_.Layout()); }  // of sealed blocks
  // Of these, those that are released when the token leaves the windows of layers that slide.
  double KvSlidingBytesPerToken() const { return SlidingBytesPerToken(pool_.Layout()); }
  size_t KvWindowBytes() const { return WindowBytes(pool_.Layout()); }  // of a sequence, beyond that
  size_t KvStateBytes() const { return pool_.StateBytes(); }            // of recurrent layers, likewise
  double F16BytesPerToken() const { return engine::F16BytesPerToken(pool_.Layout()); }

 private:
  std::vector<int32_t> EncodeWithin(const Prompt& prompt, int most_tokens) const;
  void Constrain(const TextRequest& request, EngineRequest& asked);
  std::string Computation() const;  // what answers depend on beside weights and codecs

  const LoadedModel loaded_;
  const LocalOptions options_;
  const CodecChoice codecs_;
  kv::BlockPool pool_;
  ThreadPool threads_;
  const std::shared_ptr<const Vocabulary> vocabulary_;
  const llm::AnswerFormat answers_;
  const std::shared_ptr<const Vocabulary> spelling_;  // with the marks of answers_
  ConstraintCache constraints_;
  ConstraintCache forms_;  // over spelling_
  Engine engine_;          // last: its thread uses all the others
};

}  // namespace throng::engine
