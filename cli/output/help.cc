#include "cli/output/help.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace backflip::cli {
namespace {

constexpr size_t kColumns = 100;
// Where descriptions begin.
constexpr size_t kOfCommands = 39;
constexpr size_t kOfFlags = 28;

std::string Title(Section section) {
  switch (section) {
    case Section::kStart:
      return "Start here";
    case Section::kRuns:
      return "Runs";
    case Section::kPeople:
      return "People who answer";
    case Section::kLabels:
      return "Labels";
    case Section::kSetUp:
      return "Setting up";
  }
  return "";
}

// A paragraph from `column` on, where the line has come to `begin`.
std::string Wrapped(absl::string_view paragraph, size_t begin, size_t column) {
  std::string text;
  for (const absl::string_view word : absl::StrSplit(paragraph, ' ', absl::SkipEmpty())) {
    if (begin > column && begin + 1 + word.size() > kColumns) {
      text += '\n';
      begin = 0;
    }
    const size_t space = begin < column ? column - begin : begin > column ? 1 : 0;
    absl::StrAppend(&text, std::string(space, ' '), word);
    begin += space + word.size();
  }
  return text + '\n';
}

std::string Entry(const std::string& name, absl::string_view description, size_t column) {
  std::string text = "  " + name;
  if (text.size() < column) return text + Wrapped(description, text.size(), column);
  return absl::StrCat(text, "\n", Wrapped(description, 0, column));
}

std::string FlagList(const std::vector<Flag>& flags) {
  std::string text;
  for (const Flag& flag : flags) {
    absl::StrAppend(&text, Entry(flag.Text(),
                                 flag.default_value.empty()
                                     ? flag.help
                                     : absl::StrCat(flag.help, ". Default: ", flag.default_value),
                                 kOfFlags));
  }
  return text;
}

std::string FlagsOfStack() {
  return absl::StrCat(
      "\nOf commands that talk to a stack (or by variables, such as "
      "BACKFLIP_TOKEN_FILE):\n\n",
      FlagList(StackFlags().Flags()));
}

std::string CommandHelp(const Command& command) {
  std::string sentence = command.summary + ".";
  sentence[0] = absl::ascii_toupper(sentence[0]);
  const bool options = std::any_of(command.flags.begin(), command.flags.end(),
                                   [](const Flag& flag) { return !flag.required; });
  std::string text = absl::StrCat("backflip ", command.Usage(), options ? " [FLAGS]" : "", "\n\n",
                                  Wrapped(sentence, 0, 0));
  if (!command.details.empty()) absl::StrAppend(&text, "\n", Wrapped(command.details, 0, 0));
  if (!command.flags.empty()) absl::StrAppend(&text, "\n", FlagList(command.flags));
  return text;
}

std::string CommandList(const std::vector<Command>& commands) {
  std::string text = "Backflip trains control policies from comparisons of short clips.\n";
  const Command* last = nullptr;
  for (const Command& command : commands) {
    if (last == nullptr || last->section != command.section) {
      absl::StrAppend(&text, "\n", Title(command.section), ":\n\n");
    }
    absl::StrAppend(&text, Entry(command.Usage(), command.summary, kOfCommands));
    last = &command;
  }
  return absl::StrCat(text, FlagsOfStack(),
                      "\n`backflip COMMAND --help` explains a command and its flags.\n");
}

}  // namespace

std::string HelpText(const std::vector<Command>& commands, const std::vector<std::string>& words) {
  // a file or a run may have been typed after the command's name
  for (size_t count = std::min<size_t>(2, words.size()); count > 0; --count) {
    const std::string name = absl::StrJoin(words.begin(), words.begin() + count, " ");
    std::string exact;
    std::vector<std::string> family, usages;
    bool takes_stack = false;
    for (const Command& command : commands) {
      const bool is_exact = command.Name() == name;
      if (is_exact) exact = CommandHelp(command);
      const bool is_family = absl::StartsWith(command.Name(), name + " ");
      takes_stack = takes_stack || ((is_exact || is_family) && command.takes_stack);
      if (!is_family) continue;
      family.push_back(CommandHelp(command));
      usages.push_back(absl::StrCat("See also: backflip ", command.Usage(), "\n"));
    }
    const std::string of_stack = takes_stack ? FlagsOfStack() : "";
    if (!exact.empty()) {
      return absl::StrCat(exact, of_stack, usages.empty() ? "" : "\n", absl::StrJoin(usages, ""));
    }
    if (!family.empty()) return absl::StrJoin(family, "\n\n") + of_stack;
  }
  return CommandList(commands);
}

}  // namespace backflip::cli
