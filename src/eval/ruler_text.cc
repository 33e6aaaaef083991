#include "eval/ruler_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>

#include "base/error.h"
#include "base/mapped_file.h"
#include "base/rng.h"

namespace throng::eval {
namespace {

constexpr const char* kNames[kNumRulerTasks] = {"single",    "multikey", "multivalue",
                                                "variables", "common",   "frequent"};

constexpr size_t kTokensPerKey = 128, kLeastKeys = 4, kMostKeys = 200;  // of kMultiKey
constexpr size_t kAskedKeys = 4;
constexpr size_t kValues = 4;                                            // of kMultiValue
constexpr size_t kChains = 2, kChainLength = 5;                          // of kVariables
constexpr size_t kCommonWords = 10, kCommonRatio = 10, kFewOthers = 20;  // of kCommon
constexpr size_t kFrequentWords = 3, kShortestFrequent = 60;             // of kFrequent

// Streams of random numbers of one item.
enum Stream : uint64_t { kWordStream, kPlaceStream, kSentenceStream, kOrderStream };

bool IsList(RulerTask task) { return task == RulerTask::kCommon || task == RulerTask::kFrequent; }

template <typename T>
void Shuffle(std::vector<T>& items, CounterRng rng) {
  for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[rng.NextBelow(i)]);
}

std::string Filled(std::string text, std::string_view name, std::string_view value) {
  const std::string field = fmt::format("{{{}}}", name);
  for (size_t at = text.find(field); at != std::string::npos; at = text.find(field)) {
    text.replace(at, field.size(), value);
  }
  return text;
}

std::vector<std::string> SplitWords(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

// A sentence that gives a word of an answer.
struct Fact {
  std::string key;
  std::string value;
};

}  // namespace

const char* RulerTaskName(RulerTask task) { return kNames[static_cast<size_t>(task)]; }

RulerTask ParseRulerTask(std::string_view name) {
  for (size_t i = 0; i < kNumRulerTasks; ++i) {
    if (name == kNames[i]) return static_cast<RulerTask>(i);
  }
  throw MakeError(ErrorCode::kInvalid, "eval: unknown task \"{}\" (allowed: {})", name,
                  fmt::join(kNames, ", "));
}

RulerWriter::RulerWriter(const std::string& path) {
  try {
    const nlohmann::json data = nlohmann::json::parse(ReadFile(path));
    for (const nlohmann::json& line : data.at("words")) {
      for (std::string& word : SplitWords(line.get<std::string>())) words_.push_back(std::move(word));
    }
    const nlohmann::json& filler = data.at("filler");
    filler.at("subjects").get_to(subjects_);
    filler.at("verbs").get_to(verbs_);
    filler.at("objects").get_to(objects_);
    filler.at("ends").get_to(ends_);
    filler.at("sentence").get_to(sentence_);
    for (size_t i = 0; i < kNumRulerTasks; ++i) {
      const nlohmann::json& task = data.at("tasks").at(kNames[i]);
      const bool list = IsList(static_cast<RulerTask>(i));
      texts_[i] = {.intro = task.at("intro").get<std::string>(),
                   .fact = list ? "" : task.at("fact").get<std::string>(),
                   .question = task.at("question").get<std::string>(),
                   .start = task.at("start").get<std::string>(),
                   .noise = task.value("noise", "")};
    }
  } catch (const nlohmann::json::exception& error) {
    throw MakeError(ErrorCode::kCorrupt, "{}: {}", path, error.what());
  }
  if (words_.size() < 2 * kMostKeys || subjects_.empty() || verbs_.empty() || objects_.empty() ||
      ends_.empty()) {
    throw MakeError(ErrorCode::kCorrupt, "{}: {} words, at least {} are needed, and some of each filler",
                    path, words_.size(), 2 * kMostKeys);
  }
}

size_t RulerWriter::WordsOfAnswer(RulerTask task) {
  switch (task) {
    case RulerTask::kSingle:
    case RulerTask::kMultiKey:
      return 1;
    case RulerTask::kMultiValue:
      return kValues;
    case RulerTask::kVariables:
      return kChainLength;
    case RulerTask::kCommon:
      return kCommonWords;
    case RulerTask::kFrequent:
      return kFrequentWords;
  }
  return 0;
}

std::string RulerWriter::Sentence(uint64_t seed, size_t i) const {
  CounterRng rng(seed, kSentenceStream, i);
  const auto any = [&rng](const std::vector<std::string>& of) { return of[rng.NextBelow(of.size())]; };
  std::string text = Filled(sentence_, "subject", any(subjects_));
  text = Filled(text, "verb", any(verbs_));
  text = Filled(text, "object", any(objects_));
  return Filled(text, "end", any(ends_));
}

RulerItem RulerWriter::BuildText(RulerTask task, size_t num_sentences, size_t num_tokens, double depth,
                                 uint64_t seed) const {
  const Texts& texts = texts_[static_cast<size_t>(task)];
  std::vector<std::string> words = words_;
  Shuffle(words, CounterRng(seed, kWordStream));
  CounterRng places(seed, kPlaceStream);
  RulerItem item;
  std::vector<Fact> facts;
  std::vector<std::pair<size_t, size_t>>
      asked;  // question and word of each fact; question: none if too large
  const auto ask = [&](const std::string& key) {
    item.questions.push_back({Filled(texts.question, "key", key), Filled(texts.start, "key", key), {}});
    return item.questions.size() - 1;
  };
  const auto give = [&](size_t question, std::string key, std::string value, const std::string& word) {
    asked.emplace_back(question, item.questions[question].words.size());
    item.questions[question].words.push_back({word});
    facts.push_back({std::move(key), std::move(value)});
  };
  const auto distract = [&](std::string key, std::string value) {
    asked.emplace_back(SIZE_MAX, 0);
    facts.push_back({std::move(key), std::move(value)});
  };
  if (task == RulerTask::kSingle) {
    give(ask(words[0]), words[0], words[1], words[1]);
  } else if (task == RulerTask::kMultiValue) {
    const size_t question = ask(words[0]);
    for (size_t i = 1; i <= kValues; ++i) give(question, words[0], words[i], words[i]);
  } else if (task == RulerTask::kMultiKey) {
    const size_t keys = std::clamp(num_tokens / kTokensPerKey, kLeastKeys, kMostKeys);
    std::vector<bool> is_asked(keys);
    for (size_t i = 0; i < kAskedKeys; ++i) {  // one in each part of the text
      const double share = (static_cast<double>(i) + places.NextDouble()) / kAskedKeys;
      is_asked[static_cast<size_t>(share * static_cast<double>(keys))] = true;
    }
    for (size_t i = 0; i < keys; ++i) {
      const std::string &key = words[2 * i], &value = words[2 * i + 1];
      is_asked[i] ? give(ask(key), key, value, value) : distract(key, value);
    }
  } else {
    std::vector<size_t> turns;  // whose variable is next
    for (size_t i = 0; i < kChains * kChainLength; ++i) turns.push_back(i % kChains);
    Shuffle(turns, CounterRng(seed, kOrderStream));
    std::vector<std::string> last;  // of each chain: what its next variable is set to
    for (size_t chain = 0; chain < kChains; ++chain) {
      // Two digits, another pair of first digits for each chain.
      last.push_back(fmt::format("{}{}", 1 + chain * 4 + places.NextBelow(4), places.NextBelow(10)));
      ask(last.back());
    }
    size_t next = 0;
    for (const size_t chain : turns) {
      const std::string& name = words[next++];
      give(chain, name, last[chain], name);
      last[chain] = name;
    }
  }
  std::vector<double> shares;  // of the sentences before each fact
  for (size_t i = 0; i < facts.size(); ++i) shares.push_back(places.NextDouble());
  std::sort(shares.begin(), shares.end());
  if (task == RulerTask::kSingle) shares[0] = depth;

  item.text = texts.intro;
  std::vector<size_t> at;  // of each fact, in bytes
  for (size_t i = 0; i <= num_sentences; ++i) {
    while (at.size() < facts.size() &&
           static_cast<size_t>(shares[at.size()] * static_cast<double>(num_sentences)) <= i) {
      const Fact& fact = facts[at.size()];
      at.push_back(item.text.size());
      item.text += " " + Filled(Filled(texts.fact, "key", fact.key), "value", fact.value);
    }
    if (i < num_sentences) item.text += " " + Sentence(seed, i);
  }
  for (size_t i = 0; i < facts.size(); ++i) {
    const auto [question, word] = asked[i];
    if (question == SIZE_MAX) continue;
    item.questions[question].words[word].depth =
        static_cast<double>(at[i]) / static_cast<double>(item.text.size());
  }
  return item;
}

RulerItem RulerWriter::BuildList(RulerTask task, size_t num_words, uint64_t seed) const {
  const Texts& texts = texts_[static_cast<size_t>(task)];
  std::vector<std::string> words = words_;
  Shuffle(words, CounterRng(seed, kWordStream));
  RulerItem item;
  item.questions.push_back({texts.question, texts.start, {}});
  std::vector<std::string> listed;
  const auto list = [&listed](const std::string& word, size_t times) {
    listed.insert(listed.end(), times, word);
  };
  if (task == RulerTask::kCommon) {
    // As many other words as there are, then more of each; short lists have fewer words.
    const size_t most_others = words.size() - kCommonWords;
    const size_t once = kCommonWords * kCommonRatio + most_others;
    const size_t times = (num_words + once - 1) / once;
    const size_t common = kCommonWords * kCommonRatio * times;
    const size_t others =
        std::clamp((num_words - std::min(num_words, common)) / times, kFewOthers, most_others);
    for (size_t i = 0; i < kCommonWords; ++i) {
      list(words[i], kCommonRatio * times);
      item.questions[0].words.push_back({words[i]});
    }
    for (size_t i = 0; i < others; ++i) list(words[kCommonWords + i], times);
  } else {
    words.insert(words.begin(), texts.noise);
    const auto n = static_cast<double>(num_words);
    double total = 0.0;
    for (size_t k = 1; k <= words.size(); ++k) total += 1.0 / static_cast<double>(k * k);
    for (size_t k = 1; k <= words.size(); ++k) {
      list(words[k - 1], static_cast<size_t>(std::lround(n / static_cast<double>(k * k) / total)));
    }
    for (size_t k = 1; k <= kFrequentWords; ++k) item.questions[0].words.push_back({words[k]});
  }
  Shuffle(listed, CounterRng(seed, kOrderStream));
  item.text = texts.intro;
  for (const std::string& word : listed) item.text += " " + word;
  return item;
}

RulerItem RulerWriter::Build(RulerTask task, size_t amount, size_t num_tokens, double depth,
                             uint64_t seed) const {
  return IsList(task) ? BuildList(task, amount, seed) : BuildText(task, amount, num_tokens, depth, seed);
}

RulerItem RulerWriter::Make(RulerTask task, size_t num_tokens, double depth, uint64_t seed,
                            const Measure& measure) const {
  const uint64_t key = CounterRng(seed, static_cast<uint64_t>(task), num_tokens).At(0);
  const auto tokens = [&](const RulerItem& item) {
    size_t most = 0;
    for (const RulerQuestion& question : item.questions) {
      most = std::max(most, measure(item.text + "\n" + question.text + "\n", question.start));
    }
    return most;
  };
  // The largest amount of sentences or words that fits; each has at least one token.
  size_t fits = task == RulerTask::kCommon     ? kCommonWords * kCommonRatio + kFewOthers
                : task == RulerTask::kFrequent ? kShortestFrequent
                                               : 0;
  RulerItem item = Build(task, fits, num_tokens, depth, key);
  if (const size_t least = tokens(item); least > num_tokens) {
    throw MakeError(ErrorCode::kInvalid, "eval: the task {} needs at least {} tokens, {} are given",
                    RulerTaskName(task), least, num_tokens);
  }
  size_t too_many = std::max(fits + 1, num_tokens);
  while (too_many - fits > 1) {
    const size_t middle = fits + (too_many - fits) / 2;
    RulerItem larger = Build(task, middle, num_tokens, depth, key);
    if (tokens(larger) > num_tokens) {
      too_many = middle;
    } else {
      fits = middle;
      item = std::move(larger);
    }
  }
  return item;
}

}  // namespace throng::eval
