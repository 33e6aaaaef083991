// throng journal export: a journal as text, as a file of plain tables, or as another journal.

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
  if (options.format == "sqlite" || options.format == "journal") {
    if (options.out.empty() || !options.table.empty()) {
      throw MakeError(ErrorCode::kInvalid, "--format {}: all tables go into one file; name it with --out",
                      options.format);
    }
    if (options.format == "sqlite") {
      journal::ExportSqlite(*journal, options.out);
    } else {
      journal::Journal::Copy(options.out, *journal);
    }
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
  CLI::App* command = journal.add_subcommand("export", "Write a journal's tables as text, or copy it");
  const auto options = std::make_shared<ExportOptions>();
  command->add_option("journal", options->journal, "What throng run wrote; it is only read")->required();
  command
      ->add_option("--format", options->format,
                   "jsonl: an object per line and row; csv: one table; sqlite: a file of "
                   "plain tables; journal: a copy, also from a database into a file or the other way")
      ->check(CLI::IsMember({"jsonl", "csv", "sqlite", "journal"}))
      ->capture_default_str();
  command->add_option("--table", options->table,
                      fmt::format("Only this one: {}", fmt::join(journal::ExportTables(), ", ")));
  command->add_option("-o,--out", options->out,
                      "File, or the address of a copy; default: the standard output");
  command->footer(
      "Rows come in the order of steps and agents; digests are hexadecimal.\n"
      "Examples:\n"
      "  throng journal export town.journal --format csv --table calls -o calls.csv\n"
      "  throng journal export town.journal --format sqlite -o town.sqlite\n"
      "  throng journal export \"postgres://throng@db/runs?journal=town\" --format journal -o town.journal");
  command->callback([options] { Export(*options); });
}

}  // namespace throng::cli
