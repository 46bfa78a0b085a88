// A command of `backflip`: its name, its help, its flags, and what it does. A file in
// cli/commands registers the commands that it defines, and is all that a new command takes.
#ifndef BACKFLIP_CLI_COMMAND_H_
#define BACKFLIP_CLI_COMMAND_H_

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/flags/marshalling.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/base/program.h"

namespace backflip::cli {

// A flag, bound to the variable that it sets, which is not owned.
struct Flag {
  // `form` is the name, without its dashes, and a word that stands for the value in help:
  // "out FILE". "continue [RUN]": the value, a number, may be left out, and is then 0. A bool has
  // no such word: its flag makes it true. What the variable holds here is the default, which help
  // names unless it is empty, 0 or false.
  template <typename T>
  Flag(absl::string_view form, T* variable, absl::string_view help);

  // A value by its name, one of `choices`. `help` lists them, since an error repeats it: "it must
  // be " + help.
  template <typename T>
  Flag(absl::string_view form, T* variable,
       std::vector<std::pair<std::string, std::type_identity_t<T>>> choices,
       absl::string_view help);

  // The same flag, without which the command is refused.
  Flag Required() const;

  bool takes_value() const { return !placeholder.empty(); }
  bool value_may_be_left_out() const { return takes_value() && placeholder[0] == '['; }
  // As help shows it: "--out FILE".
  std::string Text() const;

  std::string name;
  std::string placeholder;
  std::string help;
  // What a value must be: "it must be " + allowed.
  std::string allowed;
  std::string default_value;
  bool required = false;
  // Sets the variable from a text; false: the text is no such value.
  std::function<bool(absl::string_view)> set;

 private:
  Flag(absl::string_view form, absl::string_view help);
};

// Flags of every command that talks to a stack: which one.
struct StackFlags {
  std::string data;
  std::string database;
  std::string broker;
  std::string token_file;
  // Of the connection to that broker, as rpc::Transport.
  std::string ca, certificate, key;
  bool insecure = false;
  std::string public_url;

  // Bound to this object.
  std::vector<Flag> Flags();
};

// What a command is run with, besides its flags.
struct Call {
  // The arguments after the command's name, as many as it takes.
  std::vector<std::string> words;
  StackFlags stack;
  // Not owned. Commands that block watch it.
  base::ShutdownSignal* shutdown = nullptr;

  // Empty: there is no such word.
  std::string Word(size_t i) const { return i < words.size() ? words[i] : ""; }
};

// Where the list of commands has a command.
enum class Section { kStart, kRuns, kPeople, kLabels, kSetUp };

struct Command {
  Section section;
  // A name of one word or two, in small letters, and arguments, which are needed unless they are in
  // brackets: "watch [RUN]", "labels export RUN".
  std::string form;
  // One line, without a capital and a full stop.
  std::string summary;
  absl::Status (*run)(const Call& call);
  std::vector<Flag> flags = {};
  // A paragraph of help beyond that; may be empty.
  std::string details = "";
  // Whether it talks to a stack, and takes the flags that say which.
  bool takes_stack = true;

  // "labels export".
  std::string Name() const;
  // How it is typed, with the flags that it needs: "render RUN[@VERSION] --out FILE.gif".
  std::string Usage() const;
};

// A static object of a file in cli/commands, which defines the variables of its flags before it.
struct Registered {
  Registered(std::initializer_list<Command> commands);
};

// All registered commands by section, then by first word ("run" before "run fork"), then as their
// file has them.
std::vector<Command> Commands();

template <typename T>
Flag::Flag(absl::string_view form, T* variable, absl::string_view help) : Flag(form, help) {
  allowed = std::is_same_v<T, std::string> ? "a text"
            : std::is_same_v<T, bool>      ? "true or false"
                                           : "a whole number";
  default_value = absl::UnparseFlag(*variable);
  if (default_value == "0" || default_value == "false") default_value.clear();
  set = [variable](absl::string_view text) {
    std::string ignored;
    return absl::ParseFlag(text, variable, &ignored);
  };
}

template <typename T>
Flag::Flag(absl::string_view form, T* variable,
           std::vector<std::pair<std::string, std::type_identity_t<T>>> choices,
           absl::string_view help)
    : Flag(form, help) {
  allowed = std::string(help);
  for (const auto& [choice, value] : choices) {
    if (value == *variable) default_value = choice;
  }
  set = [variable, choices = std::move(choices)](absl::string_view text) {
    for (const auto& [choice, value] : choices) {
      if (choice != text) continue;
      *variable = value;
      return true;
    }
    return false;
  };
}

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_COMMAND_H_
