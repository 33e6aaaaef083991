#include "town/import/import.h"

#include <filesystem>
#include <optional>

#include "base/error.h"
#include "town/import/csv.h"
#include "town/import/draft.h"
#include "town/import/generative_agents.h"
#include "town/import/people.h"
#include "town/import/tiled.h"

namespace throng::town {
namespace {

namespace fs = std::filesystem;

constexpr const char* kForms =
    "a folder of Generative Agents (personas/ and reverie/meta.json), a Tiled map in JSON, a table of people "
    "in CSV or "
    "JSON, or OASIS profiles";

std::vector<PersonRow> ReadRows(const std::string& path, const std::string& text,
                                const std::optional<Json>& json, Problems& problems) {
  std::vector<PersonRow> rows =
      json ? RowsOf(path, *json, problems) : RowsOf(path, ParseCsv(path, text, kMaxPersonas, problems));
  if (rows.empty() && problems.Empty()) {
    problems.Add({path, 0, "", "found no people, allowed: a row each"});
  }
  return rows;
}

std::vector<DraftPerson> ReadPeople(const std::string& path, const std::string& text,
                                    const std::optional<Json>& json, ImportReport& report) {
  Problems problems;
  const std::vector<PersonRow> rows = ReadRows(path, text, json, problems);
  const bool oasis = IsOasis(rows);
  if (report.form.empty()) report.form = oasis ? "OASIS profiles" : "a table of people";
  std::vector<DraftPerson> people =
      oasis ? OasisPeopleOf(rows, report, problems) : PeopleOf(rows, report, problems);
  problems.ThrowFirst();
  return people;
}

struct SourceFile {
  std::string text;
  std::optional<Json> json;  // nothing: CSV
};

SourceFile ReadSource(const std::string& path) {
  Problems problems;
  SourceFile file;
  file.text = ReadText(path, problems).value_or("");
  const std::string ending = fs::path(path).extension();
  if (ending == ".tmx" || ending == ".tsx") {
    problems.Add({path, 0, "", "found Tiled's XML, allowed: its JSON (File > Export As, *.tmj)"});
  } else if (ending == ".json" || ending == ".tmj") {
    file.json = ParseJson(path, file.text, problems);
  } else if (ending != ".csv" && ending != ".tsv") {
    problems.Add(
        {path, 0, "", fmt::format("found the ending {:?}, allowed: .tmj, .json, .csv or .tsv", ending)});
  }
  problems.ThrowFirst();
  return file;
}

Draft ReadDraft(const ImportOptions& options, ImportReport& report) {
  if (fs::is_directory(options.source)) {
    if (!IsGenerativeAgents(options.source)) {
      throw MakeError(ErrorCode::kInvalid, "{}: this folder has no form that can be imported, allowed: {}",
                      options.source, kForms);
    }
    return ReadGenerativeAgents(options.source, options.maze, report);
  }
  const SourceFile file = ReadSource(options.source);
  Draft draft;
  draft.name = fs::path(options.source).stem();
  if (file.json && IsTiled(*file.json)) {
    draft.ground = ReadTiled(*file.json, options.source, report);
  } else if (file.json && !file.json->is_array()) {
    throw MakeError(ErrorCode::kInvalid, "{}: this JSON has no form that can be imported, allowed: {}",
                    options.source, kForms);
  } else {
    draft.people = ReadPeople(options.source, file.text, file.json, report);
  }
  return draft;
}

}  // namespace

ImportReport Import(const ImportOptions& options, const std::string& base) {
  ImportReport report;
  Draft draft = ReadDraft(options, report);
  if (!options.people.empty()) {
    if (!draft.people.empty()) {
      throw MakeError(ErrorCode::kInvalid, "--people {}: {} has people, allowed: with a map without any",
                      options.people, options.source);
    }
    const SourceFile table = ReadSource(options.people);
    draft.people = ReadPeople(options.people, table.text, table.json, report);
  }
  std::erase_if(draft.name, [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  if (draft.name.empty() || draft.name.size() > 40) draft.name = "imported";
  WriteScenario(std::move(draft), base, options.out, report);
  return report;
}

}  // namespace throng::town
