// The statements of Evaluator.

#include "jinja/evaluator.h"

#include <algorithm>

#include "jinja/format.h"
#include "jinja/loop.h"

namespace throng::jinja {

Text Evaluator::Run(const std::vector<std::pair<NameId, Value>>& variables) {
  Scope root(nullptr);
  for (const auto& [id, value] : variables) root.Set(id, value);
  return Captured([&] { Exec(ast_.body, root); });
}

Evaluator::Flow Evaluator::Exec(const Body& body, Scope& scope) {
  const Runtime::Level level(runtime_);
  for (const Stmt* stmt : body) {
    runtime_.Step();
    const Flow flow = ExecOne(*stmt, scope);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Evaluator::Flow Evaluator::ExecOne(const Stmt& stmt, Scope& scope) {
  runtime_.SetPosition(stmt.offset);
  switch (stmt.kind) {
    case Stmt::kData:
      Write(static_cast<const DataStmt&>(stmt).text);
      return Flow::kNext;
    case Stmt::kPrint:
      Write(ToText(runtime_, Eval(*static_cast<const PrintStmt&>(stmt).value, scope)));
      return Flow::kNext;
    case Stmt::kIf:
      return ExecIf(static_cast<const IfStmt&>(stmt), scope);
    case Stmt::kFor:
      return ExecFor(static_cast<const ForStmt&>(stmt), scope);
    case Stmt::kSet: {
      const auto& set = static_cast<const SetStmt&>(stmt);
      Assign(set.target, Eval(*set.value, scope), scope);
      return Flow::kNext;
    }
    case Stmt::kSetBlock:
      ExecSetBlock(static_cast<const SetBlockStmt&>(stmt), scope);
      return Flow::kNext;
    case Stmt::kMacro: {
      const auto& macro = static_cast<const MacroStmt&>(stmt);
      scope.Set(macro.id, MakeMacro(macro, scope));
      return Flow::kNext;
    }
    case Stmt::kCallBlock:
      ExecCallBlock(static_cast<const CallBlockStmt&>(stmt), scope);
      return Flow::kNext;
    case Stmt::kFilterBlock: {
      const auto& block = static_cast<const FilterBlockStmt&>(stmt);
      const Text text = Captured(block.body, scope);
      Write(ToText(runtime_, ApplyFilters(*block.filter, scope, text)));
      return Flow::kNext;
    }
    case Stmt::kWith:
      return ExecWith(static_cast<const WithStmt&>(stmt), scope);
    case Stmt::kScope:
      return Exec(static_cast<const ScopeStmt&>(stmt).body, *NewScope(scope));
    case Stmt::kBreak:
      return Flow::kBreak;
    case Stmt::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

void Evaluator::Write(const Text& text) {
  runtime_.Touch(text.Size());
  out_->Append(text);
}

Text Evaluator::Captured(const std::function<void()>& write) {
  TextBuilder builder;
  TextBuilder* const outer = std::exchange(out_, &builder);
  try {
    write();
  } catch (...) {
    out_ = outer;
    throw;
  }
  out_ = outer;
  return builder.Take();
}

Text Evaluator::Captured(const Body& body, Scope& scope) {
  return Captured([&] { Exec(body, *NewScope(scope)); });
}

Evaluator::Flow Evaluator::ExecIf(const IfStmt& stmt, Scope& scope) {
  for (const IfStmt::Branch& branch : stmt.branches) {
    if (branch.condition == nullptr || IsTrue(Eval(*branch.condition, scope)))
      return Exec(branch.body, scope);
  }
  return Flow::kNext;
}

Evaluator::Flow Evaluator::ExecFor(const ForStmt& stmt, Scope& scope) {
  RunLoop(stmt, scope, Eval(*stmt.items, scope), 0);
  return Flow::kNext;  // break and continue have ended here
}

void Evaluator::RunLoop(const ForStmt& stmt, Scope& scope, const Value& items, int64_t depth0) {
  runtime_.SetPosition(stmt.items->offset);
  std::function<bool(const Value&)> accepts;
  if (stmt.condition != nullptr) {
    // The condition sees the loop's variables, but not `loop`.
    accepts = [this, &stmt, asked = NewScope(scope)](const Value& item) {
      Assign(stmt.target, item, *asked);
      return IsTrue(Eval(*stmt.condition, *asked));
    };
  }
  std::function<Value(Runtime&, const Value&, int64_t)> recurse;
  if (stmt.is_recursive) {
    recurse = [this, &stmt, &scope](Runtime&, const Value& children, int64_t depth) -> Value {
      const Runtime::Level level(runtime_);
      return Captured([&] { RunLoop(stmt, scope, children, depth); });
    };
  }
  Loop* loop = runtime_.New(Loop(Iterate(runtime_, items), depth0, std::move(accepts), std::move(recurse)));
  Scope* inner = NewScope(scope);
  bool ran = false;
  while (const std::optional<Value> item = loop->Next()) {
    runtime_.Step();
    ran = true;
    // A macro that was made in the last round goes on to see the variables of that round.
    if (inner->IsCaptured()) inner = NewScope(scope);
    inner->Clear();
    inner->Set(kLoopName, loop);
    Assign(stmt.target, *item, *inner);
    if (Exec(stmt.body, *inner) == Flow::kBreak) break;
  }
  if (!ran) Exec(stmt.otherwise, *NewScope(scope));
}

void Evaluator::ExecSetBlock(const SetBlockStmt& stmt, Scope& scope) {
  const Text text = Captured(stmt.body, scope);
  Assign(stmt.target, stmt.filter != nullptr ? ApplyFilters(*stmt.filter, scope, text) : Value(text), scope);
}

void Evaluator::ExecCallBlock(const CallBlockStmt& stmt, Scope& scope) {
  const Value callee = Eval(*stmt.call->callee, scope);
  Arguments arguments = EvalArguments(stmt.call->arguments, scope);
  arguments.named.emplace_back(Text::Frame("caller"), MakeMacro(*stmt.caller, scope));
  runtime_.SetPosition(stmt.call->offset);
  Write(ToText(runtime_, runtime_.Call(callee, arguments)));
}

Evaluator::Flow Evaluator::ExecWith(const WithStmt& stmt, Scope& scope) {
  Scope* inner = NewScope(scope);
  for (const auto& [target, expr] : stmt.variables) Assign(target, Eval(*expr, scope), *inner);
  return Exec(stmt.body, *inner);
}

void Evaluator::Assign(const Target& target, const Value& value, Scope& scope) {
  runtime_.SetPosition(target.offset);
  switch (target.kind) {
    case Target::kName:
      runtime_.Touch(sizeof(Value));
      scope.Set(target.id, value);
      return;
    case Target::kAttribute: {
      uint64_t looked_at = 0;
      const Value* space = scope.Find(target.id, looked_at);
      if (space == nullptr || !space->Is<Namespace*>()) {
        runtime_.Fail("'{}' is no namespace, only these have attributes that can be set",
                      ast_.names[target.id]);
      }
      runtime_.Touch(sizeof(Value));
      space->As<Namespace*>()->Set(target.attribute, value);
      return;
    }
    case Target::kTuple: {
      if (const auto* undefined = value.If<Undefined>()) runtime_.FailUndefined(*undefined);
      const std::vector<Value> items = Iterate(runtime_, value);
      if (items.size() != target.items.size()) {
        runtime_.Fail("found {} values for {} variables", items.size(), target.items.size());
      }
      for (size_t i = 0; i < items.size(); ++i) Assign(target.items[i], items[i], scope);
      return;
    }
  }
}

Function* Evaluator::MakeMacro(const MacroStmt& macro, Scope& scope) {
  scope.Capture();
  return runtime_.NewFunction(macro.name, [this, &macro, &scope](Runtime&, const Arguments& arguments) {
    return CallMacro(macro, scope, arguments);
  });
}

Value Evaluator::CallMacro(const MacroStmt& macro, Scope& scope, const Arguments& arguments) {
  const Runtime::Level level(runtime_);
  Scope& inner = *NewScope(scope);
  std::vector<bool> used(arguments.named.size());
  const auto take_named = [&](std::string_view name) -> const Value* {
    for (size_t i = 0; i < used.size(); ++i) {
      if (arguments.named[i].first.View() != name) continue;
      used[i] = true;
      return &arguments.named[i].second;
    }
    return nullptr;
  };
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const MacroStmt::Parameter& parameter = macro.parameters[i];
    const Value* named = take_named(parameter.name);
    if (i < arguments.positional.size()) {
      if (named != nullptr) runtime_.Fail("macro '{}': '{}' is given twice", macro.name, parameter.name);
      inner.Set(parameter.id, arguments.positional[i]);
    } else if (named != nullptr) {
      inner.Set(parameter.id, *named);
    } else if (parameter.standard != nullptr) {
      inner.Set(parameter.id, Eval(*parameter.standard, inner));
    } else {
      inner.Set(parameter.id, Undefined{nullptr, parameter.name});
    }
  }
  const bool has_caller_parameter =
      std::ranges::find(macro.parameters, kCallerName, &MacroStmt::Parameter::id) != macro.parameters.end();
  if (macro.uses_caller && !has_caller_parameter) {
    const Value* caller = take_named("caller");
    inner.Set(kCallerName, caller != nullptr ? *caller : Value(Undefined{nullptr, "caller"}));
  }
  if (macro.uses_kwargs) {
    Dict* more = runtime_.NewDict();
    for (size_t i = 0; i < used.size(); ++i) {
      const auto& [name, value] = arguments.named[i];
      if (!used[i]) more->Set(KeyOf(runtime_, name), name, value);
    }
    inner.Set(kKwargsName, more);
  } else if (const auto unused = std::ranges::find(used, false); unused != used.end()) {
    const Text& name = arguments.named[static_cast<size_t>(unused - used.begin())].first;
    runtime_.Fail("macro '{}' has no parameter '{}'", macro.name, name.View().substr(0, 60));
  }
  const size_t known = std::min(macro.parameters.size(), arguments.positional.size());
  if (macro.uses_varargs) {
    std::vector<Value> more(arguments.positional.begin() + static_cast<std::ptrdiff_t>(known),
                            arguments.positional.end());
    inner.Set(kVarargsName, runtime_.NewList(std::move(more), List::kTuple));
  } else if (known < arguments.positional.size()) {
    runtime_.Fail("macro '{}' takes at most {} arguments, {} are given", macro.name, known,
                  arguments.positional.size());
  }
  return Captured([&] { Exec(macro.body, inner); });
}

}  // namespace throng::jinja
