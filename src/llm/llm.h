// The seam between thinking and computing: a request goes in, its completion comes out. Simulations see only
// this header; behind it are the engine in this process, servers, journals, models of servers, and fakes; and
// tools, people and embeddings, which are asked in the same way (docs/effects.md).
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace throng::llm {

// The identity of a call, the same in every order of execution. `call` counts the calls of that agent in that
// step, in program order. Sampling and journals use it as their key.
struct CallKey {
  uint32_t agent = 0;
  int32_t step = 0;
  uint32_t call = 0;
  auto operator<=>(const CallKey&) const = default;
};

// Who answers. Backends get requests to models alone; src/effects/ has the others.
enum class Kind { kModel, kTool, kPerson, kEmbedding };

// What asking does to the world outside of the run, which says when and how often it may be done.
enum class Effect {
  kPure,        // nothing: it may be asked on a guess, and again
  kIdempotent,  // what comes to the same if it is done twice: never on a guess, but again if the answer is
                // lost
  kAtCommit,    // what must not be done twice: never on a guess, and never again
};

// The allowed form of an answer. At most one field is set; with none, any text is allowed.
struct Constraint {
  std::vector<std::string> choices;  // the answer is exactly one of these
  std::string json_schema;  // the answer is a JSON value that this schema allows, without white space
  std::string grammar{};    // the answer is a text of this grammar in GBNF
  std::string regex{};      // the answer as a whole matches this regular expression (ECMA-262, flag u)
  bool Empty() const { return choices.empty() && json_schema.empty() && grammar.empty() && regex.empty(); }
};

struct Sampling {
  float temperature = 0.0f;  // 0: the most likely token
  int top_k = 0;             // 0: all
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
  uint64_t seed = 0;  // with the call key, determines every random choice
};

// An answer that was not taken, and why: what a model that is asked again should know.
struct Refused {
  std::string answer;
  std::string why;  // a sentence: "That answer is not one of: yes, no."
};

// A memory of the asking agent that the prompt holds.
struct UsedMemory {
  int32_t step;         // in which it was made
  std::string text;     // as the agent remembers it; the prompt may say it in other words
  int64_t number = -1;  // among the agent's memories; negative: they have no numbers
};

struct Request {
  uint64_t id = 0;  // chosen by the caller; unique among its requests in flight
  CallKey key;
  Kind kind = Kind::kModel;
  Effect effect = Effect::kPure;
  std::string function;  // what the call is for ("plan", "say"): statistics, replay and per-function models;
                         // a tool's name
  std::string system;    // optional system message
  std::string prompt;    // kTool: JSON, the arguments; kPerson: the question; kEmbedding: {"texts": [...]}
  Constraint constraint;
  Sampling sampling;
  std::vector<std::string> stop;   // the answer ends before the first of these
  int max_tokens = 128;            // covers the longest answer that the constraint allows
  int priority = 0;                // smaller is served first: the simulated step
  std::optional<Refused> refused;  // the answer to the last attempt; belongs to no digest
  // kPerson: the seconds after which the answer is `otherwise`; 0: it is waited for. Belongs to no digest.
  double patience_s = 0;
  std::string otherwise{};
  // For journals; belongs to no digest.
  std::vector<UsedMemory> memories;
  // Asked ahead of a step that may turn out differently: an Llm that keeps answers keeps this one only once
  // Confirm says so.
  bool guess = false;
  // Replays of traces know the sizes instead of the text: prompt and answer length in tokens; -1: not known.
  int known_prompt_tokens = -1;
  int known_output_tokens = -1;
};

enum class FinishReason {
  kStop,
  kLength,
  kCancelled,  // of an effect at commit: nothing was done
  kError,
  kFailed,   // a tool could not do it: the text says why; an answer like any other
  kUnknown,  // an effect at commit was begun, and nobody knows whether it was done: the text says why
};

struct Completion {
  uint64_t id = 0;  // the request's
  CallKey key;
  FinishReason finish = FinishReason::kStop;
  std::string text;
  int prompt_tokens = 0;
  int cached_prompt_tokens = 0;  // prompt tokens found in a prefix cache
  int output_tokens = 0;
  int attempts = 1;             // how often a model was asked; the tokens above are those of the last attempt
  int spent_prompt_tokens = 0;  // of the attempts before it, whose answers were not taken
  int spent_cached_tokens = 0;  // of spent_prompt_tokens, those found in a prefix cache
  int spent_output_tokens = 0;
  std::string served_by;       // server and model, in the server's words; empty: this process
  double retry_after_s = -1;   // kError: when the server wants to be asked again; negative: it does not say
  std::optional<Error> error;  // kError: the cause; kCancelled: at most an error of its attempts
};

// The completion of a request that was cancelled before it had an answer.
inline Completion Cancelled(uint64_t id, const CallKey& key) {
  Completion completion;
  completion.id = id;
  completion.key = key;
  completion.finish = FinishReason::kCancelled;
  return completion;
}

// Where a request in flight is.
struct Standing {
  bool is_queued = false;  // in this process: nobody works on it yet
  std::string server{};  // that was asked: its address; empty: none, as this process answers or it is queued
  bool operator==(const Standing&) const = default;
};

struct Stats {  // sums since the start
  uint64_t calls = 0;
  uint64_t prompt_tokens = 0;
  uint64_t cached_prompt_tokens = 0;
  uint64_t output_tokens = 0;
  uint64_t kv_bytes = 0;  // held now
  uint64_t kv_bytes_peak = 0;

  void Count(const Completion& answer) {
    ++calls;
    prompt_tokens += static_cast<uint64_t>(answer.prompt_tokens);
    cached_prompt_tokens += static_cast<uint64_t>(answer.cached_prompt_tokens);
    output_tokens += static_cast<uint64_t>(answer.output_tokens);
  }
};

// A backend. Calls come from one thread (the simulation's), except Cancel, which may come from any.
class Llm {
 public:
  static constexpr double kForever = std::numeric_limits<double>::infinity();

  virtual ~Llm() = default;

  // Hands over a request and returns at once; Wait returns its completion, under the same id. Throws kInvalid
  // if the request can never be served (longer than the context, a constraint that cannot be compiled).
  virtual void Submit(Request request) = 0;

  // Blocks until at least one completion is available, `seconds` (of Now()'s clock) have passed, or nothing
  // is in flight; appends all available completions. A backend in virtual time moves its clock forward to the
  // next completion instead of blocking.
  virtual void Wait(std::vector<Completion>& done, double seconds = kForever) = 0;

  // The request completes soon with kCancelled, unless it has completed already. Unknown ids are ignored.
  virtual void Cancel(uint64_t id) = 0;

  // Serves a request in flight by this smaller priority from now on, where that can still be changed: a guess
  // that is needed after all. Unknown ids are ignored. Changes no answer.
  virtual void Raise(uint64_t id, int priority) { static_cast<void>(id), static_cast<void>(priority); }

  // Where a request in flight is; nothing if the backend does not know, or the request is not in flight.
  virtual std::optional<Standing> StandingOf(uint64_t id) const {
    static_cast<void>(id);
    return std::nullopt;
  }

  // Says that the answer to a request submitted as a guess is used after all.
  virtual void Confirm(const Request& request, const Completion& completion) {
    static_cast<void>(request), static_cast<void>(completion);
  }

  // Says that the answer to a request submitted as a guess will not be used. It may still be in flight; the
  // caller cancels it then.
  virtual void Discard(uint64_t id) { static_cast<void>(id); }

  // Whether it answers every kind of request, not those to models alone: what repeats a run does.
  virtual bool AnswersEveryKind() const { return false; }

  // Whether ExpectNext has any effect here; if not, callers may omit it.
  virtual bool WantsExpectations() const { return false; }

  // Says that this agent, once its calls so far are answered, is not expected to ask again before this step.
  // Tells which parts of its prompts are worth keeping; changes no answer.
  virtual void ExpectNext(uint32_t agent, int32_t step) { static_cast<void>(agent), static_cast<void>(step); }

  // Seconds since the backend was made: wall time, or virtual time.
  virtual double Now() const = 0;

  // What the answers depend on, for the manifest of a run: backend, model hash, codec, SIMD target.
  virtual std::string Identity() const = 0;

  virtual Stats GetStats() const = 0;
};

}  // namespace throng::llm
