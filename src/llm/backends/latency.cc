#include "llm/backends/latency.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <optional>
#include <span>
#include <sstream>

#include "base/text/key_values.h"
#include "llm/backends/latency_presets.h"

namespace throng::llm {

namespace {

constexpr int kBytesPerToken = 4;  // as EstimateTokens says

template <typename T>
std::optional<T> ParseNumber(std::string_view text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

// "1:8.3/2:9.5"
std::vector<PassTime> ParsePassTimes(const std::string& text) {
  std::vector<PassTime> times;
  std::istringstream list(text);
  for (std::string item; std::getline(list, item, '/');) {
    const size_t colon = item.find(':');
    const std::optional<int> tokens = ParseNumber<int>(std::string_view(item).substr(0, colon));
    const std::optional<double> ms = colon == std::string::npos
                                         ? std::nullopt
                                         : ParseNumber<double>(std::string_view(item).substr(colon + 1));
    const int least = times.empty() ? 1 : times.back().tokens + 1;
    if (!tokens || !ms || *tokens < least || *tokens > 1 << 24 || !(*ms >= 0 && *ms <= 1e6)) {
      throw MakeError(
          ErrorCode::kInvalid,
          "latency: pass_ms has \"{}\", allowed are numbers of tokens that rise and milliseconds, as "
          "in 1:8.3/2:9.5/4:12.6",
          item);
    }
    times.push_back({*tokens, *ms});
  }
  return times;
}

LatencyOptions OfPreset(const std::string& name) {
  const std::string parameters = PresetParameters(name);
  if (parameters.find("preset=") != parameters.npos) {
    throw MakeError(ErrorCode::kInvalid, "latency: preset={} has parameters with a preset of their own: {}",
                    name, parameters);
  }
  return LatencyOptions::Parse(parameters);
}

}  // namespace

std::string PassTimesText(const std::vector<PassTime>& times) {
  std::string text;
  for (const PassTime& time : times)
    text += fmt::format("{}{}:{:.5g}", text.empty() ? "" : "/", time.tokens, time.ms);
  return text;
}

double LatencyOptions::ComputeMs(double tokens) const {
  if (tokens <= 0) return 0;
  if (pass_ms.empty()) return std::max(weights_ms * (1 - std::pow(1 - active, tokens)), tokens * token_ms);
  if (pass_ms.size() == 1 || tokens <= pass_ms.front().tokens) return pass_ms.front().ms;
  size_t next = 1;
  while (next + 1 < pass_ms.size() && pass_ms[next].tokens < tokens) ++next;
  const PassTime& a = pass_ms[next - 1];
  const PassTime& b = pass_ms[next];
  return std::max(0.0, a.ms + (b.ms - a.ms) * (tokens - a.tokens) / (b.tokens - a.tokens));
}

LatencyOptions LatencyOptions::Parse(std::string_view text) {
  KeyValues values("latency", text);
  const std::string preset = values.Text("preset", "");
  LatencyOptions options = preset.empty() ? LatencyOptions() : OfPreset(preset);
  options.weights_ms = values.Number("weights_ms", options.weights_ms, 0.0, 1e6);
  options.active = values.Number("active", options.active, 0.0, 1.0);
  options.token_ms = values.Number("token_ms", options.token_ms, 0.0, 1e6);
  options.kv_us = values.Number("kv_us", options.kv_us, 0.0, 1e6);
  options.attend_us = values.Number("attend_us", options.attend_us, 0.0, 1e6);
  if (const std::string times = values.Text("pass_ms", ""); !times.empty())
    options.pass_ms = ParsePassTimes(times);
  options.overhead_ms = values.Number("overhead_ms", options.overhead_ms, 0.0, 1e6);
  options.request_ms = values.Number("request_ms", options.request_ms, 0.0, 1e6);
  options.chunk = values.Int("chunk", options.chunk, 1, 1 << 24);
  options.batch = values.Int("batch", options.batch, 1, 1 << 20);
  options.kv_tokens = values.Int64("kv_tokens", options.kv_tokens, 1, int64_t{1} << 40);
  options.mixed = values.Flag("mixed", options.mixed);
  options.burst = values.Int("burst", options.burst, 1, 1 << 20);
  options.replicas = values.Int("replicas", options.replicas, 1, 1 << 12);
  options.round_robin = values.Flag("round_robin", options.round_robin);
  options.cached = values.Number("cached", options.cached, 0.0, 1.0);
  options.prefix = values.Int("prefix", options.prefix, 0, 1 << 16);
  options.priorities = values.Flag("priorities", options.priorities);
  options.seed = values.Uint64("seed", options.seed);
  values.CheckAllUsed();
  if (options.mixed && options.burst > 1) {
    throw MakeError(ErrorCode::kInvalid,
                    "latency: burst={} with mixed=1, where prompts stop no decoding; allowed: 1",
                    options.burst);
  }
  return options;
}

LatencyLlm::LatencyLlm(const LatencyOptions& options)
    : options_(options),
      maker_(options.seed),
      replicas_(static_cast<size_t>(options.replicas)),
      waiting_(options.round_robin ? replicas_.size() : 1) {}

int64_t LatencyLlm::KvNeed(const Sequence& sequence) {
  return int64_t{sequence.completion.prompt_tokens} + sequence.completion.output_tokens;
}

void LatencyLlm::Submit(Request request) {
  Sequence sequence;
  sequence.completion = maker_.Make(request);
  const uint64_t number = ++last_number_;
  if (KvNeed(sequence) > options_.kv_tokens) {
    throw MakeError(ErrorCode::kInvalid, "latency: a request of {} tokens does not fit into kv_tokens={}",
                    KvNeed(sequence), options_.kv_tokens);
  }
  if (options_.prefix > 0) {
    sequence.beginnings =
        PromptBeginnings::Of(request, static_cast<size_t>(options_.prefix) * kBytesPerToken);
  }
  sequence.priority = options_.priorities ? request.priority : 0;
  sequence.arrives = now_ + options_.request_ms * 1e-3;
  arriving_.emplace(sequence.arrives, number);
  numbers_.emplace(request.id, number);
  sequences_.emplace(number, std::move(sequence));
}

// On admission. The last token of a prompt is always computed: its logits give the first token of the answer.
void LatencyLlm::TakeCached(const Replica& replica, Sequence& sequence) {
  const int prompt = sequence.completion.prompt_tokens;
  double cached = prompt * options_.cached;
  if (options_.prefix > 0)
    cached = static_cast<double>(replica.beginnings.Known(sequence.beginnings)) * options_.prefix;
  sequence.completion.cached_prompt_tokens =
      static_cast<int>(std::clamp(cached, 0.0, static_cast<double>(std::max(prompt - 1, 0))));
  sequence.prompt_left = std::max(prompt - sequence.completion.cached_prompt_tokens, 1);
}

// The contexts grow by one token per decoding sequence and iteration.
double LatencyLlm::RunSeconds(const Replica& replica, int64_t iterations) const {
  const auto j = static_cast<double>(iterations);
  const auto decoding = Decodes(replica) ? static_cast<double>(replica.decoding.size()) : 0;
  const double tokens = decoding + replica.run_prompt;
  const double compute = options_.ComputeMs(tokens);
  const double context =
      Decodes(replica) ? static_cast<double>(replica.context) * j + decoding * j * (j - 1) / 2 : 0;
  return j * (compute + options_.overhead_ms) * 1e-3 + context * options_.kv_us * 1e-6 +
         replica.run_seen * options_.attend_us * 1e-6;
}

void LatencyLlm::Arrive() {
  while (!arriving_.empty() && arriving_.begin()->first <= now_) {
    const uint64_t number = arriving_.begin()->second;
    arriving_.erase(arriving_.begin());
    QueueOf(number).emplace(sequences_.at(number).priority, number);
  }
}

LatencyLlm::Replica* LatencyLlm::PickReplica(size_t queue, int64_t need) {
  const bool own = waiting_.size() > 1;  // a queue of one replica
  Replica* best = nullptr;
  const auto load = [](const Replica& replica) {
    return replica.prefilling.size() + replica.decoding.size();
  };
  for (Replica& replica : std::span(replicas_).subspan(own ? queue : 0, own ? 1 : replicas_.size())) {
    if (replica.burst_left > 0 || load(replica) >= static_cast<size_t>(options_.batch) ||
        replica.kv_used + need > options_.kv_tokens)
      continue;
    if (best == nullptr || load(replica) < load(*best)) best = &replica;
  }
  return best;
}

void LatencyLlm::Admit(size_t queue) {
  Queue& waiting = waiting_[queue];
  while (!waiting.empty()) {
    const uint64_t number = waiting.begin()->second;
    Sequence& sequence = sequences_.at(number);
    Replica* replica = PickReplica(queue, KvNeed(sequence));
    if (replica == nullptr) break;  // no overtaking, or a long request would wait forever
    waiting.erase(waiting.begin());
    sequence.replica = static_cast<int>(replica - replicas_.data());
    TakeCached(*replica, sequence);
    replica->prefilling.emplace(sequence.priority, number);
    replica->kv_used += KvNeed(sequence);
    if (replica->run > 0) CutRun(*replica);
  }
}

void LatencyLlm::Admit() {
  Arrive();
  for (size_t queue = 0; queue < waiting_.size(); ++queue) Admit(queue);
  for (Replica& replica : replicas_) {
    if (replica.run == 0) Plan(replica);
  }
}

// Ends the run after the current iteration.
void LatencyLlm::CutRun(Replica& replica) {
  int64_t low = 1;
  int64_t high = replica.run;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (replica.run_start + RunSeconds(replica, middle) >= now_) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  replica.run = low;
  replica.run_end = replica.run_start + RunSeconds(replica, low);
}

void LatencyLlm::Plan(Replica& replica) {
  replica.run_prompt = 0;
  replica.run_seen = 0;
  replica.run_prefills.clear();
  if (!replica.prefilling.empty() && replica.burst_left == 0) {
    for (const auto& [priority, number] : replica.prefilling) {
      if (replica.run_prompt == options_.chunk) break;
      replica.run_prefills.push_back(number);
      const Sequence& sequence = sequences_.at(number);
      const int taken = std::min(options_.chunk - replica.run_prompt, sequence.prompt_left);
      const double before = std::max(sequence.completion.prompt_tokens - sequence.prompt_left, 0);
      replica.run_prompt += taken;
      replica.run_seen += taken * (before + taken / 2.0);
    }
    replica.run = 1;
  } else if (!replica.decoding.empty()) {
    replica.run = replica.decoding.begin()->first - replica.iteration;
    if (options_.burst > 1) {
      if (replica.burst_left == 0) replica.burst_left = options_.burst;
      replica.run = std::min(replica.run, replica.burst_left);
    }
  } else {
    replica.run = 0;
    return;
  }
  replica.run_start = now_;
  replica.run_end = now_ + RunSeconds(replica, replica.run);
}

// Gives the iteration's prompt tokens to its sequences; a sequence whose prompt is complete makes its first
// token.
void LatencyLlm::FinishPrompts(Replica& replica, std::vector<uint64_t>& finished) {
  int budget = replica.run_prompt;
  for (const uint64_t number : replica.run_prefills) {
    Sequence& sequence = sequences_.at(number);
    const int taken = std::min(budget, sequence.prompt_left);
    budget -= taken;
    sequence.prompt_left -= taken;
    if (sequence.prompt_left > 0) break;
    replica.prefilling.erase({sequence.priority, number});
    replica.beginnings.Add(sequence.beginnings);
    const int left = std::max(sequence.completion.output_tokens - 1, 0);
    sequence.finish_at = replica.iteration + left;
    replica.decoding.emplace(sequence.finish_at, number);
    replica.context += KvNeed(sequence) - left;
    if (left == 0) finished.push_back(number);
  }
}

void LatencyLlm::FinishRun(Replica& replica, std::vector<Completion>& done) {
  if (Decodes(replica)) {
    replica.iteration += replica.run;
    replica.context += replica.run * static_cast<int64_t>(replica.decoding.size());
    replica.burst_left = std::max<int64_t>(replica.burst_left - replica.run, 0);
  }
  replica.run = 0;
  std::vector<uint64_t> finished;
  for (const auto& [iteration, number] : replica.decoding) {
    if (iteration > replica.iteration) break;
    finished.push_back(number);
  }
  FinishPrompts(replica, finished);
  for (const uint64_t number : finished) Retire(replica, number);
  GiveAnswers(replica, done);
}

// At the end of a burst, which is early if nothing is left to decode.
void LatencyLlm::GiveAnswers(Replica& replica, std::vector<Completion>& done) {
  if (replica.decoding.empty()) replica.burst_left = 0;
  if (replica.burst_left > 0) return;
  std::move(replica.answers.begin(), replica.answers.end(), std::back_inserter(done));
  replica.answers.clear();
}

void LatencyLlm::Retire(Replica& replica, uint64_t number) {
  Sequence& sequence = sequences_.at(number);
  if (sequence.finish_at > 0) {
    replica.decoding.erase({sequence.finish_at, number});
    replica.context -= KvNeed(sequence) - (sequence.finish_at - replica.iteration);
  } else {
    replica.prefilling.erase({sequence.priority, number});
  }
  replica.kv_used -= KvNeed(sequence);
  Completion& completion = sequence.completion;
  if (!sequence.cancelled) {
    stats_.Count(completion);
    numbers_.erase(completion.id);
    replica.answers.push_back(std::move(completion));
  }
  sequences_.erase(number);
}

// A cancelled sequence leaves its batch when the current iteration ends; its completion does not wait for
// that.
bool LatencyLlm::TakeCancelled(std::vector<Completion>& done) {
  std::vector<uint64_t> ids;
  {
    const std::lock_guard lock(mutex_);
    ids.swap(cancelled_);
  }
  bool any = false;
  for (const uint64_t id : ids) {
    const auto found = numbers_.find(id);
    if (found == numbers_.end()) continue;
    any = true;
    const uint64_t number = found->second;
    numbers_.erase(found);
    Sequence& sequence = sequences_.at(number);
    done.push_back(Cancelled(id, sequence.completion.key));
    if (sequence.replica < 0) {
      arriving_.erase({sequence.arrives, number});
      QueueOf(number).erase({sequence.priority, number});
      sequences_.erase(number);
    } else {
      sequence.cancelled = true;
      leaving_.push_back(number);
      CutRun(replicas_[static_cast<size_t>(sequence.replica)]);
    }
  }
  return any;
}

void LatencyLlm::Wait(std::vector<Completion>& done, double seconds) {
  const bool cancelled = TakeCancelled(done);
  Admit();
  if (cancelled) return;
  const double deadline = now_ + std::max(seconds, 0.0);
  const size_t before = done.size();
  while (done.size() == before) {
    double next = arriving_.empty() ? kForever : arriving_.begin()->first;
    for (const Replica& replica : replicas_) {
      if (replica.run > 0) next = std::min(next, replica.run_end);
    }
    if (next == kForever) return;  // idle
    if (next > deadline) {
      now_ = deadline;
      return;
    }
    now_ = std::max(now_, next);
    for (Replica& replica : replicas_) {
      if (replica.run > 0 && replica.run_end <= now_) FinishRun(replica, done);
    }
    for (const uint64_t number : std::exchange(leaving_, {})) {
      const auto found = sequences_.find(number);
      if (found == sequences_.end()) continue;
      Replica& replica = replicas_[static_cast<size_t>(found->second.replica)];
      if (replica.run == 0) {
        Retire(replica, number);
        GiveAnswers(replica, done);
      } else {
        leaving_.push_back(number);
      }
    }
    Admit();
  }
}

void LatencyLlm::Cancel(uint64_t id) {
  const std::lock_guard lock(mutex_);
  cancelled_.push_back(id);
}

void LatencyLlm::Raise(uint64_t id, int priority) {
  const auto found = numbers_.find(id);
  if (found == numbers_.end() || !options_.priorities) return;
  const uint64_t number = found->second;
  Sequence& sequence = sequences_.at(number);
  const bool waits = sequence.replica < 0;
  auto& order = waits ? QueueOf(number) : replicas_[static_cast<size_t>(sequence.replica)].prefilling;
  if (order.erase({sequence.priority, number}) > 0) order.emplace(priority, number);
  sequence.priority = priority;
}

std::optional<Standing> LatencyLlm::StandingOf(uint64_t id) const {
  const auto found = numbers_.find(id);
  if (found == numbers_.end()) return std::nullopt;
  return Standing{.is_queued = sequences_.at(found->second).replica < 0};
}

std::string LatencyLlm::Identity() const {
  std::string identity = fmt::format(
      "latency weights_ms={} active={} token_ms={} kv_us={} overhead_ms={} chunk={} batch={} kv_tokens={} "
      "mixed={} "
      "replicas={} round_robin={} cached={} priorities={} seed={}",
      options_.weights_ms, options_.active, options_.token_ms, options_.kv_us, options_.overhead_ms,
      options_.chunk, options_.batch, options_.kv_tokens, options_.mixed ? 1 : 0, options_.replicas,
      options_.round_robin ? 1 : 0, options_.cached, options_.priorities ? 1 : 0, options_.seed);
  // Named only where given, so that journals of before go on.
  if (!options_.pass_ms.empty()) identity += " pass_ms=" + PassTimesText(options_.pass_ms);
  if (options_.attend_us > 0) identity += fmt::format(" attend_us={}", options_.attend_us);
  if (options_.request_ms > 0) identity += fmt::format(" request_ms={}", options_.request_ms);
  if (options_.prefix > 0) identity += fmt::format(" prefix={}", options_.prefix);
  if (options_.burst > 1) identity += fmt::format(" burst={}", options_.burst);
  return identity;
}

}  // namespace throng::llm
