// throng journal export: a journal as text, or as a file of plain tables.

#include <cstdio>
#include <memory>
#include <string>

#include "base/atomic_file.h"
#include "base/error.h"
#include "cli/cli11.h"
#include "cli/journal/journal_commands.h"
#include "journal/read/export.h"

namespace throng::cli {

namespace {

struct ExportOptions {
  std::string journal;
  std::string format = "jsonl";
  std::string table;
  std::string out;
};

void Export(const ExportOptions& options) {
  const std::unique_ptr<journal::Journal> journal = journal::Journal::OpenToRead(options.journal);
  if (options.format == "sqlite") {
    if (options.out.empty() || !options.table.empty()) {
      throw MakeError(ErrorCode::kInvalid,
                      "--format sqlite: all tables go into one file; name it with --out");
    }
    journal::ExportSqlite(*journal, options.out);
    return;
  }
  std::unique_ptr<AtomicFile> file;
  if (!options.out.empty()) file = std::make_unique<AtomicFile>(options.out);
  const auto sink = [&](std::string_view text) {
    if (file != nullptr) {
      file->Write(text.data(), text.size());
    } else if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) {
      throw MakeError(ErrorCode::kIo, "journal export: the standard output cannot be written");
    }
  };
  if (options.format == "csv") {
    if (options.table.empty()) {
      throw MakeError(ErrorCode::kInvalid, "--format csv: a file holds one table; name it with --table ({})",
                      fmt::join(journal::ExportTables(), ", "));
    }
    journal::ExportCsv(*journal, options.table, sink);
  } else if (!options.table.empty()) {
    journal::ExportJsonLines(*journal, options.table, false, sink);
  } else {
    for (const std::string& table : journal::ExportTables()) {
      journal::ExportJsonLines(*journal, table, true, sink);
    }
  }
  if (file != nullptr) file->Commit();
}

}  // namespace

void AddJournalExport(CLI::App& journal) {
  CLI::App* command = journal.add_subcommand("export", "Write a journal's tables as text");
  const auto options = std::make_shared<ExportOptions>();
  command->add_option("journal", options->journal, "What throng run wrote; it is only read")->required();
  command
      ->add_option("--format", options->format,
                   "jsonl: an object per line and row; csv: one table; sqlite: a file of "
                   "plain tables")
      ->check(CLI::IsMember({"jsonl", "csv", "sqlite"}))
      ->capture_default_str();
  command->add_option("--table", options->table,
                      fmt::format("Only this one: {}", fmt::join(journal::ExportTables(), ", ")));
  command->add_option("-o,--out", options->out, "File; default: the standard output");
  command->footer(
      "Rows come in the order of steps and agents; digests are hexadecimal.\n"
      "Examples:\n"
      "  throng journal export town.journal --format csv --table calls -o calls.csv\n"
      "  throng journal export town.journal --format sqlite -o town.sqlite");
  command->callback([options] { Export(*options); });
}

}  // namespace throng::cli
