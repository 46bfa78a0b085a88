#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "backflip/v1/review.grpc.pb.h"
#include "cli/commands/people.h"
#include "cli/commands/train.h"
#include "cli/launcher/local_stack.h"
#include "cli/launcher/pages.h"
#include "cli/launcher/paths.h"
#include "cli/output/help.h"
#include "cli/output/label_files.h"
#include "cli/output/links.h"
#include "cli/output/replay.h"
#include "common/base/program.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/client/broker_client.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"

ABSL_FLAG(std::string, task, "hopper_backflip",
          "train, run: a task that comes with Backflip, or the path of a task folder");
ABSL_FLAG(std::string, labels, "",
          "train, run: comparisons to learn from; with --continue, +N more. Default: the task's");
ABSL_FLAG(std::string, steps, "",
          "train, run: control steps of training; with --continue, +N more. Default: the task's");
ABSL_FLAG(
    std::string, teacher, "",
    "train, run: simulated teacher: oracle, stochastic, mistake, skip, equal, myopic; faulty ones: "
    "random, half_random, inverted; several labelers apart by commas (oracle,oracle,inverted). "
    "Default: oracle, and none with --human");
ABSL_FLAG(
    bool, human, false,
    "train: people answer, on a page, and the link to it is printed; with --teacher, both answer. "
    "run: the run waits for people");
ABSL_FLAG(
    bool, share, false,
    "train --human: the pages are for other machines, too; takes --tls-certificate and --tls-key, "
    "or --public-url");
ABSL_FLAG(
    std::string, http_listen, "",
    "train --human: where the pages are served, host:port. Default: 127.0.0.1:7480, or with a "
    "certificate 0.0.0.0:7480; a free port where that is taken");
ABSL_FLAG(std::string, tls_certificate, "", "train --human: PEM file of the page's certificate");
ABSL_FLAG(std::string, tls_key, "", "train --human: PEM file of its key");
ABSL_FLAG(std::string, public_url, "",
          "train --human, label, labeler invite: what browsers reach the pages by, where a proxy "
          "stands in front of them, https://...");
ABSL_FLAG(int64_t, labels_from, 0, "train: begin with the labels of this run");
ABSL_FLAG(std::optional<uint64_t>, seed, std::nullopt,
          "train, run: seed of everything that is drawn; the same seed gives the same run");
ABSL_FLAG(int, workers, 0,
          "train, run: threads that simulate. Default: as many as there are cores");
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
ABSL_FLAG(std::string, token_file, "", "with --broker: file with an operator's token there");
ABSL_FLAG(std::string, out, "",
          "render: GIF file to write; labels export: file, by default standard output");
ABSL_FLAG(std::string, format, "jsonl",
          "labels export: jsonl, csv, npz (B-Pref's buffers) or trajectories (for imitation)");
ABSL_FLAG(bool, clips, false, "labels export: with the clips, so that it can be imported");
ABSL_FLAG(std::string, run, "", "labels import, labels retract, labeler list, statement: the run");
ABSL_FLAG(std::string, name, "", "labeler invite: pseudonym; of a group: what names begin with");
ABSL_FLAG(std::string, role, "labeler",
          "labeler invite: labeler, reviewer, operator, or teacher (a program)");
ABSL_FLAG(std::string, runs, "", "labeler invite: runs to answer for, such as 1,2. Default: all");
ABSL_FLAG(std::string, expires, "14d",
          "labeler invite: until when it can be accepted: 7d, 12h, 2026-12-01");
ABSL_FLAG(bool, group, false,
          "labeler invite: one link for many, each known by an id of the platform they come from");
ABSL_FLAG(int, cap, 100, "labeler invite --group: most labelers");
ABSL_FLAG(std::string, consent, "", "labeler invite --group: shown before they start");
ABSL_FLAG(std::string, price, "", "labeler invite --group: what is paid, as text");
ABSL_FLAG(std::string, completion_code, "",
          "labeler invite --group: shown at the end, to be given to the platform");
ABSL_FLAG(int64_t, answers, 0, "labeler invite: ends after so many answers. Default: no end");
ABSL_FLAG(int64_t, minutes, 0, "labeler invite: ends after so many minutes. Default: no end");
ABSL_FLAG(std::string, reason, "", "labeler pause, revoke: told to the labeler");
ABSL_FLAG(std::string, labeler, "", "labels retract: whose");
ABSL_FLAG(std::string, since, "",
          "labels retract, labeler statement: from when, such as 2h or 2026-12-01. Default: all");
ABSL_FLAG(std::string, until, "", "labeler statement: until when. Default: now");
ABSL_FLAG(std::string, answer, "", "gold add: left (the first clip is better), right or tie");
ABSL_FLAG(std::string, use, "check", "gold add: check, qualify or show");
ABSL_FLAG(std::string, why, "", "gold add: told where the answer is shown");
ABSL_FLAG(uint64_t, episode_seed, 1, "render: seed of the episode's start");

namespace backflip::cli {
namespace {

constexpr char kUsage[] =
    R"(Backflip trains control policies from comparisons of short clips.

  train                     start everything on this machine, train, and end by itself
  run FILE                  the same from a RunSpec text file; with --broker, queue a run there
  runs                      list runs, their progress, and what limits each
  watch [RUN]               follow a run, by default the newest
  cancel RUN                end a run; `train --continue RUN` goes on with it
  run stop-asking RUN       ask people no more; the run finishes on the labels there are
  run fork RUN@VERSION      a new run from an earlier policy, with the labels as they stand
  label [RUN]               a link to the labeling page of a stack that runs, and its QR code
  dashboard [RUN]           a link to its dashboard
  labels export RUN         the labels of a run, by default as JSON Lines
  labels import FILE --run RUN          take labels and clips of such a file into a run
  labels retract --labeler NAME --since WHEN   take somebody's answers back
  labeler invite --name NAME            a link for somebody who labels
  labeler list | statement              who labels, how well; what they worked, as CSV
  labeler pause | resume | revoke | forget NAME
  gold add RUN CLIP CLIP --answer left  a pair whose answer is known
  gold list RUN | gold remove GOLD
  render RUN[@VERSION] --out FILE.gif   film an episode of the best snapshot, or of one
  task new ROBOT.xml        write a first task for a model, and show it moving
  migrate                   bring the database to this version

`backflip COMMAND --help` has the flags of a command.
)";

// A broker to ask: the given one, that of a stack which runs on the data
// folder, or one that is started for this command alone.
struct Session {
  std::unique_ptr<LocalStack> stack;
  std::unique_ptr<client::BrokerClient> broker;
};

std::string DataFolder() {
  const std::string data = absl::GetFlag(FLAGS_data);
  return std::filesystem::absolute(data.empty() ? DefaultDataFolder() : data).string();
}

// Where the broker of a stack that runs on the data folder listens; empty: none
// runs there.
std::string RunningBroker(const std::string& data) {
  std::string address = BrokerAddress(data);
  const absl::string_view socket = absl::StripPrefix(address, "unix:");
  std::error_code ignored;
  // a stack that was killed leaves its socket behind
  if (std::filesystem::exists(std::string(socket), ignored) &&
      rpc::WaitHealthy(address, absl::Seconds(3)).ok()) {
    return address;
  }
  return "";
}

// A broker elsewhere that is not there should be said at once.
absl::Status CheckBroker() {
  const std::string address = absl::GetFlag(FLAGS_broker);
  if (address.empty()) return absl::OkStatus();
  if (absl::GetFlag(FLAGS_token_file).empty()) {
    return absl::InvalidArgumentError(
        "--broker needs --token-file, a file with an operator's token");
  }
  if (rpc::WaitHealthy(address, absl::Seconds(5)).ok()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("no broker answers at ", address,
                                             ": does one run there? --broker takes host:port "
                                             "or unix:path"));
}

absl::StatusOr<Session> OpenSession(base::ShutdownSignal* shutdown) {
  const auto stop = [shutdown] { return shutdown->Requested(); };
  const std::string data = DataFolder();
  std::string address = absl::GetFlag(FLAGS_broker);
  std::string token_file = absl::GetFlag(FLAGS_token_file);
  RETURN_IF_ERROR(CheckBroker());
  if (address.empty()) {
    address = RunningBroker(data);
    token_file = data + "/tokens/operator.token";
  }
  Session session;
  if (address.empty()) {
    ASSIGN_OR_RETURN(session.stack,
                     LocalStack::Start({.data = data,
                                        .database = DatabaseUrl(absl::GetFlag(FLAGS_database)),
                                        .pages = std::nullopt},
                                       stop));
    session.broker = std::make_unique<client::BrokerClient>(session.stack->broker(), stop);
  } else {
    ASSIGN_OR_RETURN(std::string token, rpc::ReadTokenFile(token_file));
    session.broker =
        std::make_unique<client::BrokerClient>(rpc::Client(address, std::move(token)), stop);
  }
  return session;
}

// How browsers reach the pages of the broker that a command talks to.
absl::StatusOr<std::string> PagesOf() {
  if (const std::string url = absl::GetFlag(FLAGS_public_url); !url.empty()) {
    return CheckPublicUrl(url);
  }
  if (!absl::GetFlag(FLAGS_broker).empty()) {
    return absl::InvalidArgumentError(
        "say how browsers reach that broker's pages: --public-url https://...");
  }
  std::string url;
  if (!RunningBroker(DataFolder()).empty()) url = PagesUrl(DataFolder());
  if (url.empty()) {
    return absl::FailedPreconditionError(
        "no stack with pages runs here: start one by `./backflip train --human` "
        "(or name one by --broker, --token-file and --public-url)");
  }
  return url;
}

absl::StatusOr<int64_t> ParseRun(absl::string_view text) {
  int64_t run = 0;
  if (!absl::SimpleAtoi(text, &run) || run < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no run; `backflip runs` lists them"));
  }
  return run;
}

std::string AbsolutePath(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).string();
}

absl::StatusOr<TrainOptions> TrainFlags() {
  TrainOptions options;
  options.task = absl::GetFlag(FLAGS_task);
  options.labels = absl::GetFlag(FLAGS_labels);
  options.steps = absl::GetFlag(FLAGS_steps);
  options.human = absl::GetFlag(FLAGS_human);
  options.pages = {.share = absl::GetFlag(FLAGS_share),
                   .tls_certificate = AbsolutePath(absl::GetFlag(FLAGS_tls_certificate)),
                   .tls_key = AbsolutePath(absl::GetFlag(FLAGS_tls_key)),
                   .public_url = absl::GetFlag(FLAGS_public_url)};
  options.pages.listen = absl::GetFlag(FLAGS_http_listen);
  options.labels_from = absl::GetFlag(FLAGS_labels_from);
  options.teacher = absl::GetFlag(FLAGS_teacher);
  if (options.teacher.empty()) options.teacher = options.human ? kNoTeacher : "oracle";
  options.seed = absl::GetFlag(FLAGS_seed);
  options.workers = absl::GetFlag(FLAGS_workers);
  if (options.workers < 0 || options.workers > 1024) {
    return absl::InvalidArgumentError(
        absl::StrCat("--workers is ", options.workers, "; allowed: 0 (all cores) to 1024"));
  }
  options.data = DataFolder();
  options.json = absl::GetFlag(FLAGS_json);
  options.database = DatabaseUrl(absl::GetFlag(FLAGS_database));
  options.broker = absl::GetFlag(FLAGS_broker);
  options.token_file = absl::GetFlag(FLAGS_token_file);
  RETURN_IF_ERROR(CheckBroker());
  options.spec = absl::GetFlag(FLAGS_spec);
  const std::string run = absl::GetFlag(FLAGS_continue);
  if (run == "newest") {
    options.continue_run = 0;
  } else if (!run.empty()) {
    ASSIGN_OR_RETURN(options.continue_run, ParseRun(run));
  }
  return options;
}

absl::Status ListRuns(const client::BrokerClient& broker) {
  ASSIGN_OR_RETURN(const std::vector<v1::Run> runs, broker.List(1000));
  std::printf("%5s  %-20s %-10s %-22s %-15s %s\n", "run", "task", "state", "steps", "labels",
              "limited by");
  for (const v1::Run& run : runs) {
    std::string why = run.state() == v1::FAILED ? run.message() : LimitText(run.limit());
    std::printf("%5s  %-20s %-10s %-22s %-15s %s\n", absl::StrCat(run.id()).c_str(),
                run.task().name().c_str(), StateName(run.state()).c_str(),
                absl::StrFormat("%s of %s (%.0f %%)", Short(run.steps()), Short(run.spec().steps()),
                                100.0 * run.steps() / run.spec().steps())
                    .c_str(),
                run.spec().reward() == v1::TRUE
                    ? "true reward"
                    : absl::StrCat(run.labels(), " of ", run.spec().labels()).c_str(),
                why.c_str());
  }
  return absl::OkStatus();
}

absl::Status WatchRun(const Session& session, int64_t run_id, base::ShutdownSignal* shutdown) {
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
  const absl::StatusOr<v1::Run> run = Follow(*session.broker, run_id, nullptr, shutdown, &live);
  // whoever stops watching is done
  return absl::IsCancelled(run.status()) ? absl::OkStatus() : run.status();
}

// RUN or RUN@VERSION; version 0 where none is given.
absl::StatusOr<std::pair<int64_t, int64_t>> ParseSnapshot(absl::string_view what) {
  const std::vector<absl::string_view> parts = absl::StrSplit(what, '@');
  std::pair<int64_t, int64_t> snapshot(0, 0);
  ASSIGN_OR_RETURN(snapshot.first, ParseRun(parts[0]));
  if (parts.size() > 2 || (parts.size() == 2 && (!absl::SimpleAtoi(parts[1], &snapshot.second) ||
                                                 snapshot.second < 1))) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", what, "' is no snapshot; say RUN, or RUN@VERSION, such as 1@12"));
  }
  return snapshot;
}

absl::Status Render(const client::BrokerClient& broker, absl::string_view what) {
  const std::string out = absl::GetFlag(FLAGS_out);
  if (out.empty()) return absl::InvalidArgumentError("--out FILE.gif is missing");
  ASSIGN_OR_RETURN(const auto snapshot, ParseSnapshot(what));
  const auto& [run_id, version] = snapshot;
  ASSIGN_OR_RETURN(const v1::Run run, broker.Get(run_id));
  RETURN_IF_ERROR(FilmSnapshot(broker, run, version, absl::GetFlag(FLAGS_episode_seed), out));
  std::printf("%s\n", out.c_str());
  return absl::OkStatus();
}

absl::Status QueueRun(const TrainOptions& options, const client::BrokerClient& broker) {
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
      "  ./backflip train --task ./%s --human\n"
      "or give it a true_reward, by which simulated teachers answer "
      "(docs/tasks.md).\n",
      folder.c_str(), folder.c_str(),
      made.ok() ? "the model under random actions" : std::string(made.message()).c_str(),
      folder.c_str());
  return absl::OkStatus();
}

// The run that is named, or the newest.
absl::StatusOr<int64_t> RunOrNewest(const client::BrokerClient& broker, absl::string_view text) {
  if (!text.empty()) return ParseRun(text);
  ASSIGN_OR_RETURN(const std::vector<v1::Run> runs, broker.List(1));
  if (runs.empty()) return absl::NotFoundError("there is no run yet");
  return runs.front().id();
}

absl::Status ShowLink(absl::string_view run, bool dashboard, base::ShutdownSignal* shutdown) {
  ASSIGN_OR_RETURN(const std::string url, PagesOf());
  ASSIGN_OR_RETURN(const Session session, OpenSession(shutdown));
  ASSIGN_OR_RETURN(const int64_t run_id, RunOrNewest(*session.broker, run));
  ASSIGN_OR_RETURN(const std::string link, dashboard ? DashboardLink(*session.broker, url, run_id)
                                                     : LabelingLink(*session.broker, url, run_id));
  if (!dashboard) {
    ASSIGN_OR_RETURN(const std::string code, QrCode(link));
    std::printf("%s\n", code.c_str());
  }
  std::printf("%s\n", link.c_str());
  std::fflush(stdout);
  if (OnThisMachineAlone(url)) {
    std::fputs("It opens on this machine alone; `train --human --share` lets others in.\n", stderr);
  }
  return absl::OkStatus();
}

absl::Status RunCommand(const Session& session, absl::string_view verb, absl::string_view what) {
  const client::BrokerClient& broker = *session.broker;
  if (verb == "stop-asking") {
    v1::StopAskingRequest request;
    ASSIGN_OR_RETURN(const int64_t run_id, ParseRun(what));
    request.set_run_id(run_id);
    return broker.Call<v1::RunService>(&v1::RunService::Stub::StopAsking, request).status();
  }
  ASSIGN_OR_RETURN(const auto snapshot, ParseSnapshot(what));
  if (snapshot.second == 0) {
    return absl::InvalidArgumentError(
        "say which policy the fork begins with: RUN@VERSION, such as 1@12");
  }
  v1::ForkRunRequest request;
  request.set_request_id(base::RandomHex128());
  request.set_run_id(snapshot.first);
  request.set_version(snapshot.second);
  ASSIGN_OR_RETURN(const v1::Run run,
                   broker.Call<v1::RunService>(&v1::RunService::Stub::Fork, request));
  std::printf("%d\n", static_cast<int>(run.id()));
  std::fflush(stdout);
  std::fputs(absl::StrCat("run ", run.id(), " begins as ", what,
                          " and waits for whoever serves it: "
                          "`backflip train --continue ",
                          run.id(), "` does\n")
                 .c_str(),
             stderr);
  return absl::OkStatus();
}

absl::Status InviteLabeler(base::ShutdownSignal* shutdown) {
  v1::InviteRequest request;
  request.set_name(absl::GetFlag(FLAGS_name));
  if (request.name().empty()) {
    return absl::InvalidArgumentError("--name is missing: the labeler's pseudonym");
  }
  const std::string role = absl::GetFlag(FLAGS_role);
  v1::InviteRole value;
  if (!v1::InviteRole_Parse(absl::StrCat("INVITE_", absl::AsciiStrToUpper(role)), &value) ||
      value == v1::INVITE_ROLE_UNSPECIFIED) {
    return absl::InvalidArgumentError(
        absl::StrCat("--role is '", role, "'; it must be labeler, reviewer, operator or teacher"));
  }
  request.set_role(value);
  ASSIGN_OR_RETURN(const std::vector<int64_t> runs, ParseRuns("runs", absl::GetFlag(FLAGS_runs)));
  request.mutable_run_ids()->Add(runs.begin(), runs.end());
  ASSIGN_OR_RETURN(const absl::Time expires,
                   ParseMoment("expires", absl::GetFlag(FLAGS_expires), absl::Now(), true));
  request.set_expires_ms(absl::ToUnixMillis(expires));
  request.set_answers_wanted(absl::GetFlag(FLAGS_answers));
  request.set_minutes_wanted(absl::GetFlag(FLAGS_minutes));
  if (absl::GetFlag(FLAGS_group)) {
    v1::GroupInvite* group = request.mutable_group();
    group->set_cap(absl::GetFlag(FLAGS_cap));
    group->set_consent(absl::GetFlag(FLAGS_consent));
    group->set_price(absl::GetFlag(FLAGS_price));
    group->set_completion_code(absl::GetFlag(FLAGS_completion_code));
  }
  ASSIGN_OR_RETURN(const std::string url, PagesOf());
  ASSIGN_OR_RETURN(const Session session, OpenSession(shutdown));
  ASSIGN_OR_RETURN(const std::string link, Invite(*session.broker, url, request));
  std::printf("%s\n", link.c_str());
  return absl::OkStatus();
}

// A moment of a flag that may be left out.
absl::StatusOr<absl::Time> PastMoment(const char* flag, const std::string& text,
                                      absl::Time otherwise) {
  if (text.empty()) return otherwise;
  return ParseMoment(flag, text, absl::Now(), false);
}

// The run of --run; 0: all.
absl::StatusOr<int64_t> RunFlag() {
  const std::string run = absl::GetFlag(FLAGS_run);
  if (run.empty()) return 0;
  return ParseRun(run);
}

absl::Status LabelerCommand(const Session& session, absl::string_view verb,
                            const std::string& name) {
  const client::BrokerClient& broker = *session.broker;
  const std::string reason = absl::GetFlag(FLAGS_reason);
  if (verb == "pause") return SetLabelerState(broker, name, v1::LABELER_PAUSED, reason);
  if (verb == "resume") return SetLabelerState(broker, name, v1::ACTIVE, "");
  if (verb == "revoke") return SetLabelerState(broker, name, v1::REVOKED, reason);
  std::string text;
  if (verb == "forget") {
    ASSIGN_OR_RETURN(text, ForgetLabeler(broker, name));
    text = absl::StrCat("the labels stay, under the name ", text, "\n");
  } else {
    ASSIGN_OR_RETURN(const int64_t run, RunFlag());
    if (verb == "list") {
      ASSIGN_OR_RETURN(text, LabelerTable(broker, run));
    } else {
      ASSIGN_OR_RETURN(const absl::Time since,
                       PastMoment("since", absl::GetFlag(FLAGS_since), absl::UnixEpoch()));
      ASSIGN_OR_RETURN(const absl::Time until,
                       PastMoment("until", absl::GetFlag(FLAGS_until), absl::InfiniteFuture()));
      ASSIGN_OR_RETURN(text, StatementCsv(broker, run, since, until));
    }
  }
  std::fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

absl::Status LabelsCommand(const Session& session, absl::string_view verb,
                           const std::string& what) {
  const client::BrokerClient& broker = *session.broker;
  if (verb == "export") {
    ASSIGN_OR_RETURN(const int64_t run_id, ParseRun(what));
    ASSIGN_OR_RETURN(const LabelFormat format, ParseLabelFormat(absl::GetFlag(FLAGS_format)));
    return ExportLabels(broker, run_id, format, absl::GetFlag(FLAGS_clips),
                        absl::GetFlag(FLAGS_out));
  }
  ASSIGN_OR_RETURN(const int64_t run_id, RunFlag());
  if (verb == "import") {
    if (run_id == 0) return absl::InvalidArgumentError("--run RUN is missing: where the labels go");
    ASSIGN_OR_RETURN(const v1::ImportLabelsResponse done, ImportLabels(broker, run_id, what));
    std::printf("%s\n", absl::StrCat(done.labels(), " labels and ", done.clips(),
                                     " clips are new, ", done.known(), " labels were there before")
                            .c_str());
    return absl::OkStatus();
  }
  const std::string labeler = absl::GetFlag(FLAGS_labeler);
  if (labeler.empty())
    return absl::InvalidArgumentError("--labeler NAME is missing: whose answers");
  ASSIGN_OR_RETURN(const absl::Time since,
                   PastMoment("since", absl::GetFlag(FLAGS_since), absl::UnixEpoch()));
  ASSIGN_OR_RETURN(const v1::RetractLabelsResponse done,
                   RetractLabels(broker, labeler, run_id, since));
  std::printf("%s\n", absl::StrCat(done.labels(), " answers of ", labeler, " are taken back; ",
                                   done.reopened_questions(), " questions are open again")
                          .c_str());
  return absl::OkStatus();
}

absl::Status GoldCommand(const Session& session, const std::vector<absl::string_view>& arguments) {
  const client::BrokerClient& broker = *session.broker;
  ASSIGN_OR_RETURN(const int64_t number, ParseRun(arguments[2]));
  if (arguments[1] == "list") {
    ASSIGN_OR_RETURN(const std::string table, GoldTable(broker, number));
    std::fputs(table.c_str(), stdout);
    return absl::OkStatus();
  }
  if (arguments[1] == "remove") {
    v1::RemoveGoldRequest request;
    request.set_gold_id(number);
    return broker.Call<v1::ReviewService>(&v1::ReviewService::Stub::RemoveGold, request).status();
  }
  v1::AddGoldRequest request;
  request.set_run_id(number);
  request.add_clip_ids(std::string(arguments[3]));
  request.add_clip_ids(std::string(arguments[4]));
  ASSIGN_OR_RETURN(const v1::Choice answer, ParseAnswer(absl::GetFlag(FLAGS_answer)));
  ASSIGN_OR_RETURN(const v1::GoldUse use, ParseGoldUse(absl::GetFlag(FLAGS_use)));
  request.set_answer(answer);
  request.set_use(use);
  request.set_explanation(absl::GetFlag(FLAGS_why));
  ASSIGN_OR_RETURN(const v1::GoldPair pair,
                   broker.Call<v1::ReviewService>(&v1::ReviewService::Stub::AddGold, request));
  std::printf("%d\n", static_cast<int>(pair.gold_id()));
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

  if (command == "run" && (argument(1) == "fork" || argument(1) == "stop-asking")) {
    RETURN_IF_ERROR(
        wants(3, argument(1) == "fork" ? "run fork RUN@VERSION" : "run stop-asking RUN"));
    ASSIGN_OR_RETURN(const Session session, OpenSession(&shutdown));
    return RunCommand(session, argument(1), argument(2));
  }
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
    if (arguments.size() > 1) {
      ASSIGN_OR_RETURN(run, ParseRun(argument(1)));
    }
    ASSIGN_OR_RETURN(const Session session, OpenSession(&shutdown));
    return WatchRun(session, run, &shutdown);
  }
  if (command == "cancel") {
    RETURN_IF_ERROR(wants(2, "cancel RUN"));
    ASSIGN_OR_RETURN(const int64_t run, ParseRun(argument(1)));
    ASSIGN_OR_RETURN(const Session session, OpenSession(&shutdown));
    return session.broker->Cancel(run, false).status();
  }
  if (command == "label" || command == "dashboard") {
    if (arguments.size() > 2)
      RETURN_IF_ERROR(wants(2, command == "label" ? "label [RUN]" : "dashboard [RUN]"));
    return ShowLink(argument(1), command == "dashboard", &shutdown);
  }
  if (command == "labels") {
    const absl::string_view verb = argument(1);
    if (verb != "export" && verb != "import" && verb != "retract") {
      return absl::InvalidArgumentError(
          "say: backflip labels export RUN, labels import FILE --run RUN, or labels retract "
          "--labeler NAME");
    }
    RETURN_IF_ERROR(wants(verb == "retract" ? 2 : 3,
                          verb == "export"   ? "labels export RUN"
                          : verb == "import" ? "labels import FILE --run RUN"
                                             : "labels retract --labeler NAME --since WHEN"));
    ASSIGN_OR_RETURN(const Session session, OpenSession(&shutdown));
    return LabelsCommand(session, verb, std::string(argument(2)));
  }
  if (command == "labeler") {
    const absl::string_view verb = argument(1);
    const bool named = verb == "pause" || verb == "resume" || verb == "revoke" || verb == "forget";
    if (!named && verb != "invite" && verb != "list" && verb != "statement") {
      return absl::InvalidArgumentError(
          "say: backflip labeler invite, list, statement, or pause, resume, revoke, forget NAME");
    }
    RETURN_IF_ERROR(
        wants(named ? 3 : 2, absl::StrCat("labeler ", verb, named ? " NAME" : "").c_str()));
    if (verb == "invite") return InviteLabeler(&shutdown);
    ASSIGN_OR_RETURN(const Session session, OpenSession(&shutdown));
    return LabelerCommand(session, verb, std::string(argument(2)));
  }
  if (command == "gold") {
    const absl::string_view verb = argument(1);
    if (verb != "add" && verb != "list" && verb != "remove") {
      return absl::InvalidArgumentError("say: backflip gold add, gold list or gold remove");
    }
    RETURN_IF_ERROR(wants(verb == "add" ? 5 : 3, verb == "add"
                                                     ? "gold add RUN CLIP CLIP --answer left"
                                                 : verb == "list" ? "gold list RUN"
                                                                  : "gold remove GOLD"));
    ASSIGN_OR_RETURN(const Session session, OpenSession(&shutdown));
    return GoldCommand(session, arguments);
  }
  if (command == "render") {
    RETURN_IF_ERROR(wants(2, "render RUN[@VERSION] --out FILE.gif"));
    ASSIGN_OR_RETURN(const Session session, OpenSession(&shutdown));
    return Render(*session.broker, argument(1));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(command.empty() ? "no command was given"
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

// The command that --help asks about, empty: all of them; nothing where it is
// not asked for.
std::optional<std::string> HelpWanted(const std::vector<std::string>& arguments) {
  std::string command;
  if (arguments.size() > 1 && arguments[1][0] != '-') command = arguments[1];
  if (command == "help") return arguments.size() > 2 ? arguments[2] : "";
  for (const std::string& argument : arguments) {
    if (argument == "--help" || argument == "-help" || argument == "-h") return command;
  }
  return std::nullopt;
}

std::map<std::string, std::string> Flags() {
  std::map<std::string, std::string> flags;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (absl::EndsWith(flag->Filename(), "cli/main.cc")) flags[std::string(name)] = flag->Help();
  }
  return flags;
}

}  // namespace
}  // namespace backflip::cli

int main(int argc, char** argv) {
  std::vector<std::string> arguments = backflip::cli::Completed(argc, argv);
  if (const auto command = backflip::cli::HelpWanted(arguments)) {
    std::fputs(
        backflip::cli::HelpText(backflip::cli::kUsage, backflip::cli::Flags(), *command).c_str(),
        stdout);
    return EXIT_SUCCESS;
  }
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const absl::Status status = backflip::cli::Main(backflip::base::InitProgram(
      static_cast<int>(arguments.size()), pointers.data(), "backflip", backflip::cli::kUsage));
  if (status.ok()) return EXIT_SUCCESS;
  std::fprintf(stderr, "backflip: %s\n", std::string(status.message()).c_str());
  // as a shell reports Ctrl-C
  return absl::IsCancelled(status) ? 130 : EXIT_FAILURE;
}
