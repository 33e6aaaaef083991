// Interviews of many: a file of questions to the people of one run or several, with and without what they
// remember, and what a judge thinks of the answers.
#pragma once

#include <string>
#include <vector>

#include "app/record/manifest.h"
#include "app/scenario.h"
#include "app/simulation.h"

namespace throng::cli {

struct Questionnaire {
  std::vector<std::string> journals;
  std::vector<std::string> agents;   // names; empty: all
  std::vector<std::string> moments;  // steps or times; empty: as far as each journal goes
  std::string questions;             // a file of town::ReadQuestions
  std::vector<std::string> without;  // besides full memory: "reflections", "observations,plans"
  std::string judge;                 // a backend; empty: no scores
  bool json = false;
  bool csv = false;
};

// Loads what the journal's run simulates, and fills `simulation` but for the given flags. --embed is of the
// interview alone: how people recalled in the run, its journal says.
app::Scenario LoadRun(const journal::Journal& journal, const app::GivenFlags& given,
                      app::Simulation& simulation);

// Asks all, and prints answers or scores. `simulation` has the flags that were given; each journal fills the
// others. Throws kInvalid, and what backends throw.
void AskQuestionnaire(const Questionnaire& questionnaire, const app::Simulation& simulation,
                      const app::GivenFlags& given);

// Sends the requests, which get their keys here, and returns the texts of their answers in order. Throws
// kUnavailable if answers are missing, and the first error.
std::vector<std::string> AskBackend(const app::Limits& limits, const std::string& backend_name,
                                    std::unique_ptr<llm::Llm> backend, std::vector<llm::Request> requests);

}  // namespace throng::cli
