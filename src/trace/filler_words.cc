#include "trace/filler_words.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <unordered_map>

#include "base/error.h"
#include "base/rng.h"

namespace throng::trace {
namespace {

// Every text begins so: tokenizers treat the first word of a text in their own way.
constexpr std::string_view kHead = "Note:";
// Short and frequent, so that a tokenizer for English has a token for most of them.
constexpr std::array kWords = {
    "the",  "of",   "and",  "to",    "in",    "is",    "you",  "that", "it",    "he",   "was",
    "for",  "on",   "are",  "as",    "with",  "his",   "they", "at",   "be",    "this", "have",
    "from", "or",   "one",  "had",   "by",    "but",   "not",  "what", "all",   "were", "we",
    "when", "your", "can",  "said",  "there", "use",   "an",   "each", "which", "she",  "do",
    "how",  "if",   "will", "up",    "other", "about", "out",  "many", "then",  "them", "these",
    "so",   "some", "her",  "would", "make",  "like",  "him",  "into", "time"};
constexpr int kFew = 1;  // times that a word is in the two prompts that show what it costs
constexpr int kMany = 33;

std::string Repeated(const std::string& words, int times) {
  std::string text(kHead);
  for (int i = 0; i < times; ++i) text += words;
  return text;
}

// What the server counts in each of these prompts.
std::vector<int> CountTokens(llm::Llm& server, const std::vector<std::string>& prompts) {
  for (size_t i = 0; i < prompts.size(); ++i) {
    llm::Request request;
    request.id = i + 1;
    request.key.call = static_cast<uint32_t>(i);
    request.function = "probe";
    request.prompt = prompts[i];
    request.max_tokens = 1;
    request.known_output_tokens = 1;
    server.Submit(std::move(request));
  }
  std::vector<int> counts(prompts.size());
  std::vector<llm::Completion> done;
  while (done.size() < prompts.size()) {
    const size_t before = done.size();
    server.Wait(done);
    if (done.size() == before)
      throw MakeError(ErrorCode::kUnavailable, "{} has forgotten calls in flight", server.Identity());
  }
  for (const llm::Completion& completion : done) {
    // A server that finds no text in an answer of one token has counted the prompt all the same.
    if (completion.error && completion.error->Code() != ErrorCode::kBadAnswer) throw *completion.error;
    if (completion.prompt_tokens <= 0) {
      throw MakeError(ErrorCode::kUnsupported,
                      "{} does not say how many tokens a prompt has (usage.prompt_tokens), and prompts of "
                      "recorded lengths cannot be made for it",
                      server.Identity());
    }
    counts[completion.id - 1] = completion.prompt_tokens;
  }
  return counts;
}

}  // namespace

FillerWords::FillerWords(llm::Llm& server) {
  std::string all;
  for (const char* word : kWords) words_.push_back(" " + std::string(word));
  for (const std::string& word : words_) all += word;
  const auto num_words = static_cast<int>(words_.size());
  const std::vector<int> mixed = CountTokens(server, {Repeated(all, 1), Repeated(all, 2)});
  least_tokens_ = mixed[0] - num_words;
  if (mixed[1] - mixed[0] == num_words && least_tokens_ >= 0) return;

  std::vector<std::string> prompts;
  for (const std::string& word : words_) {
    for (const int times : {kFew, kMany}) prompts.push_back(Repeated(word, times));
  }
  const std::vector<int> counts = CountTokens(server, prompts);
  std::map<int, std::vector<size_t>> by_cost;  // words by their tokens
  for (size_t i = 0; i < words_.size(); ++i) {
    const int more = counts[2 * i + 1] - counts[2 * i];
    if (more > 0 && more % (kMany - kFew) == 0) by_cost[more / (kMany - kFew)].push_back(i);
  }
  const auto cheapest = std::find_if(by_cost.begin(), by_cost.end(),
                                     [](const auto& entry) { return entry.second.size() >= 2; });
  if (cheapest == by_cost.end()) {
    throw MakeError(ErrorCode::kUnsupported,
                    "{} counts no two words alike, and prompts of recorded lengths cannot be made for it",
                    server.Identity());
  }
  tokens_per_word_ = cheapest->first;
  least_tokens_ = counts[2 * cheapest->second.front()] - kFew * tokens_per_word_;
  std::vector<std::string> words;
  for (const size_t i : cheapest->second) words.push_back(words_[i]);
  words_ = std::move(words);
}

int FillerWords::WordsIn(int tokens) const {
  return std::max(0, (tokens - least_tokens_ + tokens_per_word_ / 2) / tokens_per_word_);
}

std::string FillerWords::Text(int tokens, int shared, uint64_t beginning, uint64_t seed) const {
  const int words = WordsIn(tokens);
  const int shared_words = std::min(words, WordsIn(shared));
  const CounterRng common(beginning);
  const CounterRng own(beginning, seed);
  std::string text(kHead);
  for (int i = 0; i < words; ++i) {
    const uint64_t drawn = (i < shared_words ? common : own).At(static_cast<uint64_t>(i));
    text += words_[drawn % words_.size()];
  }
  return text;
}

}  // namespace throng::trace
