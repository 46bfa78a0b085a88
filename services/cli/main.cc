#include <google/protobuf/util/json_util.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/base/program.h"
#include "common/base/status_macros.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "services/cli/local_stack.h"
#include "services/cli/operator.h"
#include "services/cli/paths.h"
#include "services/cli/replay.h"
#include "services/cli/train.h"

ABSL_FLAG(std::string, task, "hopper_backflip",
          "train, run: a task that comes with Backflip, or the path of a task folder");
ABSL_FLAG(std::string, labels, "",
          "train, run: comparisons to learn from; with --continue, +N more. Default: the task's");
ABSL_FLAG(std::string, steps, "",
          "train, run: control steps of training; with --continue, +N more. Default: the task's");
ABSL_FLAG(std::string, teacher, "oracle",
          "train, run: simulated teacher: oracle, stochastic, mistake, skip, equal, myopic; or "
          "none: people answer");
ABSL_FLAG(std::optional<uint64_t>, seed, std::nullopt,
          "train, run: seed of everything that is drawn; the same seed gives the same run");
ABSL_FLAG(int, workers, 0, "train, run: threads that simulate. Default: as many as there are cores");
ABSL_FLAG(std::string, data, "",
          "data folder: database, tokens, logs, results. Default: /var/lib/backflip for root, else "
          "~/.local/share/backflip");
ABSL_FLAG(std::string, json, "", "train, run: write the results as one JSON object to this file");
ABSL_FLAG(std::string, database, "",
          "PostgreSQL to use, postgresql://... Default: BACKFLIP_DATABASE_URL, else a private one "
          "in the data folder");
ABSL_FLAG(std::string, spec, "", "train: RunSpec text file over the task's defaults");
ABSL_FLAG(std::string, continue, "",
          "train: go on with a run, --continue RUN; without a number, with the newest");
ABSL_FLAG(std::string, broker, "",
          "use the stack whose broker listens here, host:port or unix:path, instead of one on this "
          "machine");
ABSL_FLAG(std::string, token_file, "",
          "with --broker: file with an operator's token there");
ABSL_FLAG(std::string, out, "", "render: GIF file to write");
ABSL_FLAG(uint64_t, episode_seed, 1, "render: seed of the episode's start");

namespace backflip::cli {
namespace {

constexpr char kUsage[] =
    R"(backflip COMMAND: trains control policies from comparisons of short clips.

  train                     start everything on this machine, train, and end by itself
  run FILE                  the same from a RunSpec text file; with --broker, queue a run there
  runs                      list runs, their progress, and what limits each
  watch [RUN]               follow a run, by default the newest
  cancel RUN                end a run; `train --continue RUN` goes on with it
  labels export RUN         the labels of a run, as JSON Lines
  render RUN[@VERSION] --out FILE.gif   film an episode of the best snapshot, or of one
  task new ROBOT.xml        write a first task for a model, and show it moving
  migrate                   bring the database to this version
)";

// A broker to ask: the given one, that of a stack which runs on the data
// folder, or one that is started for this command alone.
struct Session {
  std::unique_ptr<LocalStack> stack;
  std::unique_ptr<Operator> broker;
};

std::string DataFolder() {
  const std::string data = absl::GetFlag(FLAGS_data);
  return std::filesystem::absolute(data.empty() ? DefaultDataFolder() : data)
      .string();
}

absl::StatusOr<Session> OpenSession(base::ShutdownSignal* shutdown) {
  const auto stop = [shutdown] { return shutdown->Requested(); };
  const std::string data = DataFolder();
  std::string address = absl::GetFlag(FLAGS_broker);
  std::string token_file = absl::GetFlag(FLAGS_token_file);
  if (address.empty() &&
      rpc::WaitHealthy(BrokerAddress(data), absl::Milliseconds(200)).ok()) {
    address = BrokerAddress(data);
    token_file = data + "/tokens/operator.token";
  }
  Session session;
  if (address.empty()) {
    ASSIGN_OR_RETURN(
        session.stack,
        LocalStack::Start(
            {.data = data, .database = DatabaseUrl(absl::GetFlag(FLAGS_database))},
            stop));
    session.broker = std::make_unique<Operator>(session.stack->broker(), stop);
  } else {
    ASSIGN_OR_RETURN(std::string token, rpc::ReadTokenFile(token_file));
    session.broker =
        std::make_unique<Operator>(rpc::Client(address, std::move(token)), stop);
  }
  return session;
}

absl::StatusOr<int64_t> ParseRun(absl::string_view text) {
  int64_t run = 0;
  if (!absl::SimpleAtoi(text, &run) || run < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no run; `backflip runs` lists them"));
  }
  return run;
}

absl::StatusOr<TrainOptions> TrainFlags() {
  TrainOptions options;
  options.task = absl::GetFlag(FLAGS_task);
  options.labels = absl::GetFlag(FLAGS_labels);
  options.steps = absl::GetFlag(FLAGS_steps);
  options.teacher = absl::GetFlag(FLAGS_teacher);
  options.seed = absl::GetFlag(FLAGS_seed);
  options.workers = absl::GetFlag(FLAGS_workers);
  if (options.workers < 0 || options.workers > 1024) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--workers is ", options.workers, "; allowed: 0 (all cores) to 1024"));
  }
  options.data = DataFolder();
  options.json = absl::GetFlag(FLAGS_json);
  options.database = DatabaseUrl(absl::GetFlag(FLAGS_database));
  options.broker = absl::GetFlag(FLAGS_broker);
  options.token_file = absl::GetFlag(FLAGS_token_file);
  if (!options.broker.empty() && options.token_file.empty()) {
    return absl::InvalidArgumentError(
        "--broker needs --token-file, a file with an operator's token");
  }
  options.spec = absl::GetFlag(FLAGS_spec);
  const std::string run = absl::GetFlag(FLAGS_continue);
  if (run == "newest") {
    options.continue_run = 0;
  } else if (!run.empty()) {
    ASSIGN_OR_RETURN(options.continue_run, ParseRun(run));
  }
  return options;
}

absl::Status ListRuns(const Operator& broker) {
  ASSIGN_OR_RETURN(const std::vector<v1::Run> runs, broker.List(1000));
  std::printf("%5s  %-20s %-10s %-22s %-15s %s\n", "run", "task", "state",
              "steps", "labels", "limited by");
  for (const v1::Run& run : runs) {
    std::string why = run.state() == v1::FAILED ? run.message()
                                                : LimitText(run.limit());
    std::printf(
        "%5s  %-20s %-10s %-22s %-15s %s\n", absl::StrCat(run.id()).c_str(),
        run.task().name().c_str(), StateName(run.state()).c_str(),
        absl::StrFormat("%s of %s (%.0f %%)", Short(run.steps()),
                        Short(run.spec().steps()),
                        100.0 * run.steps() / run.spec().steps())
            .c_str(),
        run.spec().reward() == v1::TRUE
            ? "true reward"
            : absl::StrCat(run.labels(), " of ", run.spec().labels()).c_str(),
        why.c_str());
  }
  return absl::OkStatus();
}

absl::Status WatchRun(const Session& session, int64_t run_id,
                      base::ShutdownSignal* shutdown) {
  if (run_id == 0) {
    ASSIGN_OR_RETURN(const std::vector<v1::Run> runs, session.broker->List(1));
    if (runs.empty()) return absl::NotFoundError("there is no run yet");
    run_id = runs.front().id();
  }
  if (session.stack != nullptr) {
    // nobody serves it, so there is nothing to wait for
    ASSIGN_OR_RETURN(const v1::Run run, session.broker->Get(run_id));
    std::printf("%s\n", StatusLine(run, Pace(), absl::ZeroDuration()).c_str());
    return absl::OkStatus();
  }
  LiveStatus live(stdout);
  const absl::StatusOr<v1::Run> run =
      Follow(*session.broker, run_id, nullptr, shutdown, &live);
  // whoever stops watching is done
  return absl::IsCancelled(run.status()) ? absl::OkStatus() : run.status();
}

absl::Status ExportLabels(const Operator& broker, int64_t run_id) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  return broker.Export(run_id, [&](const v1::ExportedLabel& label) {
    std::string json;
    if (google::protobuf::util::MessageToJsonString(label, &json, options).ok()) {
      std::printf("%s\n", json.c_str());
    }
  });
}

absl::Status Render(const Operator& broker, absl::string_view what) {
  const std::string out = absl::GetFlag(FLAGS_out);
  if (out.empty()) return absl::InvalidArgumentError("--out FILE.gif is missing");
  const std::vector<absl::string_view> parts = absl::StrSplit(what, '@');
  ASSIGN_OR_RETURN(const int64_t run_id, ParseRun(parts[0]));
  int64_t version = 0;
  if (parts.size() > 2 ||
      (parts.size() == 2 && (!absl::SimpleAtoi(parts[1], &version) || version < 1))) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", what, "' is no snapshot; say RUN, or RUN@VERSION, such as 1@12"));
  }
  ASSIGN_OR_RETURN(const v1::Run run, broker.Get(run_id));
  RETURN_IF_ERROR(FilmSnapshot(broker, run, version,
                               absl::GetFlag(FLAGS_episode_seed), out));
  std::printf("%s\n", out.c_str());
  return absl::OkStatus();
}

absl::Status QueueRun(const TrainOptions& options, const Operator& broker) {
  ASSIGN_OR_RETURN(const v1::Run run, CreateRun(options, broker));
  std::printf("%d\n", static_cast<int>(run.id()));
  return absl::OkStatus();
}

absl::Status MigrateDatabase() {
  const std::string data = DataFolder();
  std::string url = DatabaseUrl(absl::GetFlag(FLAGS_database));
  std::unique_ptr<PrivatePostgres> postgres;
  if (url.empty()) {
    ASSIGN_OR_RETURN(postgres, PrivatePostgres::Start(data));
    url = postgres->url();
  }
  ASSIGN_OR_RETURN(const std::string output, Migrate(url, data));
  std::fputs(output.c_str(), stderr);
  return absl::OkStatus();
}

absl::Status MakeTask(const std::string& model) {
  // a folder here, named like the model
  const std::string folder = std::filesystem::path(model).stem().string();
  const absl::Status made = NewTask(model, folder);
  if (!made.ok() && !absl::IsUnavailable(made)) return made;
  std::printf(
      "wrote %s/task.textproto, which says what to change in it\n"
      "      %s/preview.gif: %s\n"
      "Put your question into the task, then let people answer:\n"
      "  ./backflip train --task ./%s --teacher none\n"
      "or give it a true_reward, by which simulated teachers answer "
      "(docs/tasks.md).\n",
      folder.c_str(), folder.c_str(),
      made.ok() ? "the model under random actions"
                : std::string(made.message()).c_str(),
      folder.c_str());
  return absl::OkStatus();
}

absl::Status Main(const std::vector<absl::string_view>& arguments) {
  base::ShutdownSignal shutdown;
  const std::string command(arguments.empty() ? "" : arguments[0]);
  const auto argument = [&](size_t i) -> absl::string_view {
    return i < arguments.size() ? arguments[i] : "";
  };
  const auto wants = [&](size_t count, const char* form) {
    return arguments.size() == count
               ? absl::OkStatus()
               : absl::InvalidArgumentError(absl::StrCat("say: backflip ", form));
  };

  if (command == "train" || command == "run") {
    ASSIGN_OR_RETURN(TrainOptions options, TrainFlags());
    if (command == "run") {
      RETURN_IF_ERROR(wants(2, "run FILE [--task TASK]"));
      options.spec = std::string(argument(1));
    } else {
      RETURN_IF_ERROR(wants(1, "train, with flags and no other words"));
    }
    if (command == "train" || options.broker.empty()) {
      return Train(options, &shutdown);
    }
    ASSIGN_OR_RETURN(const Session session, OpenSession(&shutdown));
    return QueueRun(options, *session.broker);
  }
  if (command == "task") {
    if (argument(1) != "new" || arguments.size() != 3) {
      return absl::InvalidArgumentError("say: backflip task new ROBOT.xml");
    }
    return MakeTask(std::string(argument(2)));
  }
  if (command == "migrate") return MigrateDatabase();
  if (command == "runs") {
    ASSIGN_OR_RETURN(const Session session, OpenSession(&shutdown));
    return ListRuns(*session.broker);
  }
  if (command == "watch") {
    int64_t run = 0;
    if (arguments.size() > 1) { ASSIGN_OR_RETURN(run, ParseRun(argument(1))); }
    ASSIGN_OR_RETURN(const Session session, OpenSession(&shutdown));
    return WatchRun(session, run, &shutdown);
  }
  if (command == "cancel") {
    RETURN_IF_ERROR(wants(2, "cancel RUN"));
    ASSIGN_OR_RETURN(const int64_t run, ParseRun(argument(1)));
    ASSIGN_OR_RETURN(const Session session, OpenSession(&shutdown));
    return session.broker->Cancel(run, false).status();
  }
  if (command == "labels") {
    if (argument(1) != "export" || arguments.size() != 3) {
      return absl::InvalidArgumentError("say: backflip labels export RUN");
    }
    ASSIGN_OR_RETURN(const int64_t run, ParseRun(argument(2)));
    ASSIGN_OR_RETURN(const Session session, OpenSession(&shutdown));
    return ExportLabels(*session.broker, run);
  }
  if (command == "render") {
    RETURN_IF_ERROR(wants(2, "render RUN[@VERSION] --out FILE.gif"));
    ASSIGN_OR_RETURN(const Session session, OpenSession(&shutdown));
    return Render(*session.broker, argument(1));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      command.empty() ? "no command was given"
                      : absl::StrCat("there is no command '", command, "'"),
      "; `backflip --help` lists them"));
}

// `--continue`, whose number may be left out, as the flag library wants it.
std::vector<std::string> Completed(int argc, char** argv) {
  std::vector<std::string> arguments(argv, argv + argc);
  for (size_t i = 1; i < arguments.size(); ++i) {
    if (arguments[i] != "--continue") continue;
    int64_t run = 0;
    if (i + 1 < arguments.size() && absl::SimpleAtoi(arguments[i + 1], &run)) {
      arguments[i] = absl::StrCat("--continue=", run);
      arguments.erase(arguments.begin() + i + 1);
    } else {
      arguments[i] = "--continue=newest";
    }
  }
  return arguments;
}

}  // namespace
}  // namespace backflip::cli

int main(int argc, char** argv) {
  std::vector<std::string> arguments = backflip::cli::Completed(argc, argv);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const absl::Status status = backflip::cli::Main(backflip::base::InitProgram(
      static_cast<int>(arguments.size()), pointers.data(), "backflip",
      backflip::cli::kUsage));
  if (status.ok()) return EXIT_SUCCESS;
  std::fprintf(stderr, "backflip: %s\n", std::string(status.message()).c_str());
  // as a shell reports Ctrl-C
  return absl::IsCancelled(status) ? 130 : EXIT_FAILURE;
}
