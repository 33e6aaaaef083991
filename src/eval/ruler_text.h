// The texts of `throng eval ruler`: long prompts of an exact number of tokens, with questions whose answers
// stand in them, after the tasks of RULER (Hsieh et al., arXiv 2404.06654). The words and sentences are our
// own (town/eval/ruler.json).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace throng::eval {

enum class RulerTask {
  kSingle,      // a needle, a sentence that gives a key's value, in a text of other sentences
  kMultiKey,    // many needles, each of a key of its own; four of them are asked for
  kMultiValue,  // four needles of one key: all its values
  kVariables,   // variable tracking: two chains of five variables, each set to the one before it
  kCommon,      // a list of words, ten of them ten times as frequent as the others: which ten?
  kFrequent,    // words whose frequencies fall as 1 / rank^2, the first being dots: the next three
};
inline constexpr int kNumRulerTasks = 6;

// "single", "multikey", "multivalue", "variables", "common", "frequent".
const char* RulerTaskName(RulerTask task);
// Throws kInvalid for another name.
RulerTask ParseRulerTask(std::string_view name);

// A word that a right answer contains.
struct RulerWord {
  std::string word;
  // The share of the text that stands before the place which gives the word, 0 to 1; -1 where the whole text
  // gives it.
  double depth = -1.0;
};

struct RulerQuestion {
  std::string text;   // ends the user's message, after RulerItem::text and a line break
  std::string start;  // the answer's first words, given to the model
  std::vector<RulerWord> words;
};

struct RulerItem {
  std::string text;
  std::vector<RulerQuestion> questions;  // each is asked alone
};

class RulerWriter {
 public:
  // The number of tokens of a prompt: of a user's message and the start of the answer.
  using Measure = std::function<size_t(const std::string& message, const std::string& start)>;

  // Reads the words. Throws kIo, kCorrupt.
  explicit RulerWriter(const std::string& path);

  static size_t WordsOfAnswer(RulerTask task);  // to each question of an item

  // An item whose prompts have at most num_tokens tokens, and nearly so many. It is a function of all
  // arguments. depth: where a single needle stands, 0 to 1. Throws kInvalid if num_tokens are too few for the
  // task.
  RulerItem Make(RulerTask task, size_t num_tokens, double depth, uint64_t seed,
                 const Measure& measure) const;

 private:
  struct Texts {  // of one task
    std::string intro;
    std::string fact;
    std::string question;
    std::string start;
    std::string noise;
  };
  RulerItem Build(RulerTask task, size_t amount, size_t num_tokens, double depth, uint64_t seed) const;
  RulerItem BuildText(RulerTask task, size_t num_sentences, size_t num_tokens, double depth,
                      uint64_t seed) const;
  RulerItem BuildList(RulerTask task, size_t num_words, uint64_t seed) const;
  std::string Sentence(uint64_t seed, size_t i) const;

  std::vector<std::string> words_;
  std::vector<std::string> subjects_, verbs_, objects_, ends_;
  std::string sentence_;
  Texts texts_[kNumRulerTasks];
};

}  // namespace throng::eval
