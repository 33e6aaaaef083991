// A model of an LLM server with continuous batching, in virtual time: how long answers would take, without
// computing them.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "llm/backends/prompt_beginnings.h"
#include "llm/grammar/answer_maker.h"
#include "llm/llm.h"

namespace throng::llm {

// One iteration with n decoding sequences, whose contexts have c tokens together, and p prompt tokens takes
//   max(weights, (n + p) * token) + c * kv + s * attend + overhead,
// if the prompt tokens see s tokens before them together: the limit is reading the weights once or
// arithmetic, each decoding sequence reads its cache, and prompts attend to themselves. Without `mixed`
// nothing decodes (n = c = 0) in an iteration that has prompt tokens. If each token uses only a share
// `active` of the weights (a mixture of experts), 1 - (1 - active)^(n + p) of them are read. `pass_ms` has
// measured times instead of the maximum. The defaults: an
// 8B model in 16 bits on one L4. 16 GB of weights at 300 GB/s; 16 GFLOP per token at about 60 of 121 TFLOP/s;
// 128 KiB of cache per token (32 layers, 8 KV heads of 128) at 300 GB/s; about 6 of 24 GB left for the cache.
struct PassTime {
  int tokens;  // n + p, 1 or more
  double ms;
  bool operator==(const PassTime&) const = default;
};

struct LatencyOptions {
  double weights_ms = 58;
  double active = 1;
  double token_ms = 0.33;
  double kv_us = 0.44;   // per token of context
  double attend_us = 0;  // per prompt token and token that it sees
  // By ascending tokens, with straight lines between and after them; empty: as weights_ms, active and
  // token_ms say.
  std::vector<PassTime> pass_ms{};
  double overhead_ms = 3;
  double request_ms = 0;      // from asking to the server's queue: the network, the tokenizer
  int chunk = 8192;           // prompt tokens per iteration
  int batch = 256;            // sequences at once
  int64_t kv_tokens = 39000;  // room for the contexts of all sequences at once
  bool mixed = false;         // prompts and decoding share iterations; false: prompts go first, alone
  // Iterations that decode before requests are admitted again and answers leave. Above 1 only without
  // `mixed`.
  int burst = 1;
  int replicas = 1;         // servers
  bool round_robin = true;  // each request waits for the replica whose turn it is; false: one queue for all
  double cached = 0;        // share of each prompt that a prefix cache holds
  // If above 0, instead of that: what earlier prompts began with, in steps of so many tokens, is cached.
  int prefix = 0;
  bool priorities = true;  // false: first come, first served
  uint64_t seed = 0;       // seed of the made-up answers

  // "weights_ms=54,batch=64", or empty; pass_ms=1:8.3/2:9.5/4:12.6. preset=NAME (latency_presets.h) has what
  // is not said. Throws kInvalid.
  static LatencyOptions Parse(std::string_view text);

  double ComputeMs(double tokens) const;  // of an iteration with so many, without attention and overhead
};

// "1:8.3/2:9.5"
std::string PassTimesText(const std::vector<PassTime>& times);

class LatencyLlm : public Llm {
 public:
  explicit LatencyLlm(const LatencyOptions& options = {});

  void Submit(Request request) override;
  void Wait(std::vector<Completion>& done, double seconds = kForever) override;
  void Cancel(uint64_t id) override;
  void Raise(uint64_t id, int priority) override;  // of calls that wait, or whose prompts are computed
  std::optional<Standing> StandingOf(uint64_t id) const override;
  double Now() const override { return now_; }
  std::string Identity() const override;
  Stats GetStats() const override { return stats_; }

 private:
  // Sequences are numbered in order of arrival: a cancelled one stays in its batch for a moment, and its id
  // may be used again meanwhile.
  struct Sequence {
    Completion completion;
    int priority = 0;
    double arrives = 0;                // when it is, or was, in the server's queue
    int replica = -1;                  // -1: waits
    int prompt_left = 0;               // still to be computed
    std::vector<uint64_t> beginnings;  // of its prompt, for `prefix`
    // The iteration of its replica that makes the last token; 0 while the prompt is computed.
    int64_t finish_at = 0;
    bool cancelled = false;
  };

  // A run is one or more iterations of the same composition. When a request arrives, a shorter run replaces
  // it.
  struct Replica {
    // By priority and number: the order in which sequences get prompt tokens.
    std::set<std::pair<int, uint64_t>> prefilling;
    std::set<std::pair<int64_t, uint64_t>> decoding;  // by finish_at
    int64_t iteration = 1;                            // the next iteration in which sequences decode
    int64_t context = 0;                 // tokens of all decoding sequences, at the start of the run
    int64_t kv_used = 0;                 // tokens promised to admitted sequences
    int64_t run = 0;                     // iterations of the run; 0: idle
    int64_t burst_left = 0;              // decoding iterations before requests are admitted again
    int run_prompt = 0;                  // prompt tokens of its one iteration
    double run_seen = 0;                 // tokens that each of those sees, together
    std::vector<uint64_t> run_prefills;  // the sequences that those belong to
    double run_start = 0;
    double run_end = 0;
    std::vector<Completion> answers;  // complete, and held until the burst ends
    PromptBeginnings beginnings;      // of prompts that it has computed, for `prefix`
  };

  using Queue = std::set<std::pair<int, uint64_t>>;  // priority, number

  void TakeCached(const Replica& replica, Sequence& sequence);
  double RunSeconds(const Replica& replica, int64_t iterations) const;
  bool Decodes(const Replica& replica) const { return options_.mixed || replica.run_prompt == 0; }
  Queue& QueueOf(uint64_t number) { return waiting_[number % waiting_.size()]; }
  void Arrive();
  void Admit();
  void Admit(size_t queue);
  Replica* PickReplica(size_t queue, int64_t need);
  void Plan(Replica& replica);
  void CutRun(Replica& replica);
  void FinishRun(Replica& replica, std::vector<Completion>& done);
  void FinishPrompts(Replica& replica, std::vector<uint64_t>& finished);
  void Retire(Replica& replica, uint64_t number);
  static void GiveAnswers(Replica& replica, std::vector<Completion>& done);
  bool TakeCancelled(std::vector<Completion>& done);
  static int64_t KvNeed(const Sequence& sequence);

  LatencyOptions options_;
  AnswerMaker maker_;
  double now_ = 0;
  uint64_t last_number_ = 0;
  std::vector<Replica> replicas_;
  std::unordered_map<uint64_t, Sequence> sequences_;  // by number
  std::unordered_map<uint64_t, uint64_t> numbers_;    // by id, of calls neither answered nor cancelled
  std::set<std::pair<double, uint64_t>> arriving_;    // time and number
  std::vector<Queue> waiting_;                        // one for all replicas, or one for each
  std::vector<uint64_t> leaving_;                     // cancelled, but still in a batch
  Stats stats_;
  std::mutex mutex_;
  std::vector<uint64_t> cancelled_;  // guarded by mutex_
};

}  // namespace throng::llm
