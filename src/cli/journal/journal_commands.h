// Subcommands of `throng journal` with a file of their own.
#pragma once

namespace CLI {
class App;
}

namespace throng::cli {

void AddJournalCite(CLI::App& journal);  // in journal_diff.cc
void AddJournalDiff(CLI::App& journal);
void AddJournalExport(CLI::App& journal);
void AddJournalPrompts(CLI::App& journal);

}  // namespace throng::cli
