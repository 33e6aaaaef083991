// Questions to people, which wait in the journal of a run until somebody in another process answers them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "effects/people.h"
#include "journal/journal.h"

namespace throng::journal {

// For the run that writes the journal. What was answered while nobody ran it is found when it is resumed.
class JournalPeople final : public effects::People {
 public:
  explicit JournalPeople(Journal& journal) : journal_(journal) {}  // which must outlive this
  void Put(const llm::Request& question) override;
  std::optional<std::string> Take(const llm::Request& question) override;

 private:
  Journal& journal_;
};

// A question that nobody has answered yet.
struct OpenQuestion {
  llm::CallKey key;
  std::string text;
  std::vector<std::string> choices;
  std::string asked;  // UTC; empty: not known
};

// Those to all agents, earlier steps first. The journal may be in use.
std::vector<OpenQuestion> OpenQuestions(const Journal& journal);

// Answers a question of the journal at `place`, whose run goes on in another process or is stopped. False: it
// has been answered meanwhile, by somebody else or by its default. Throws kInvalid unless the answer is one
// of its choices.
bool AnswerQuestion(const std::string& place, const OpenQuestion& question, const std::string& answer);

}  // namespace throng::journal
