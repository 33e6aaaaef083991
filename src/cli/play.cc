// throng play: answers for an agent of a run, on the terminal.

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <thread>

#include "base/error.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/find_agent_of.h"
#include "journal/people.h"

namespace throng::cli {

namespace {

constexpr std::chrono::milliseconds kPoll(200);  // between two looks for questions

struct Options {
  std::string journal;
  std::string agent;
};

// Of a file or a pipe, whose lines are all read.
bool HasInputEnded() {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  return isatty(STDIN_FILENO) == 0 && poll(&input, 1, 0) > 0 && std::cin.peek() == EOF;
}

// Asks until the answer is allowed. False: there is no more input.
bool AskOnTerminal(const std::string& path, const journal::OpenQuestion& question) {
  fmt::print("step {}: {}\n", question.key.step, question.text);
  if (!question.choices.empty()) fmt::print("  ({})\n", fmt::join(question.choices, " / "));
  std::string line;
  while (true) {
    if (isatty(STDIN_FILENO)) fmt::print("> ");
    std::fflush(stdout);
    if (!std::getline(std::cin, line)) return false;
    try {
      if (!journal::AnswerQuestion(path, question, line)) fmt::print("(it was answered meanwhile)\n");
      return true;
    } catch (const Error& error) {
      if (error.Code() != ErrorCode::kInvalid) throw;
      fmt::print("{}\n", error.what());
    }
  }
}

void Play(const Options& options) {
  while (true) {
    const std::unique_ptr<journal::Journal> journal = journal::Journal::OpenToRead(options.journal);
    const std::vector<journal::OpenQuestion> open = journal::OpenQuestions(*journal);
    const sim::AgentId agent = FindAgentOf(*journal, options.agent);
    const auto next = std::find_if(open.begin(), open.end(),
                                   [&](const auto& question) { return question.key.agent == agent; });
    if (next != open.end()) {
      if (!AskOnTerminal(options.journal, *next)) return;
      continue;
    }
    if (journal->GetManifest().contains(journal::JournalKeys::kHash)) {
      fmt::print("the run is done\n");
      return;
    }
    if (HasInputEnded()) return;
    std::this_thread::sleep_for(kPoll);
  }
}

}  // namespace

void AddPlay(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "play", "Answer for an agent of a run that goes on in another process, or is stopped");
  const auto options = std::make_shared<Options>();
  command->add_option("journal", options->journal, "Journal of the run")->required();
  command->add_option("--agent", options->agent, "Name or number of the agent whose questions you answer")
      ->required();
  command->footer(
      "Shows each question that the agent is asked (throng.Ask) and reads the answer, one line, until the "
      "run is "
      "done. Only those wait who depend on the agent.\n"
      "Example:\n"
      "  throng play village.journal --agent Ada");
  command->callback([options] { Play(*options); });
}

}  // namespace throng::cli
