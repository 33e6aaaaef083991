#include "app/record/event_condition.h"

#include <algorithm>

#include "base/error.h"

namespace throng::app {

EventCondition::EventCondition(const std::string& condition, sim::Step from)
    : kind_(condition.substr(0, condition.find('='))), from_(from) {
  if (kind_.size() < condition.size()) text_ = condition.substr(kind_.size() + 1);
  if (kind_.empty()) {
    throw MakeError(ErrorCode::kInvalid,
                    "--until-event {:?}: allowed: a kind of event, or KIND=TEXT, such as say=concert",
                    condition);
  }
}

void EventCondition::OnCommit(const sim::CommitRecord& record) {
  if (record.step < from_) return;
  const auto matches = [this](const sim::Event& event) {
    return event.kind == kind_ && event.text.find(text_) != std::string::npos;
  };
  if (std::any_of(record.events.begin(), record.events.end(), matches)) happened_.insert(record.step);
}

void EndAtEvent(const std::string& condition, sim::Step from, sim::RunOptions& options) {
  const auto ends = std::make_shared<EventCondition>(condition, from);
  options.observers.push_back(ends.get());
  options.ends_after = [ends](sim::Step step) { return ends->EndsAfter(step); };
}

}  // namespace throng::app
