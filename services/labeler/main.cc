#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/log.h"
#include "common/base/program.h"
#include "common/base/status_macros.h"
#include "common/rpc/client.h"
#include "common/teachers/teacher.h"
#include "services/labeler/teacher_client.h"

ABSL_FLAG(std::string, broker, "", "address of the preference-broker: host:port or unix:path");
ABSL_FLAG(std::string, token_file, "", "file with the token of a teacher");
ABSL_FLAG(int64_t, run, 0, "run to answer for; 0: any");
ABSL_FLAG(std::string, teacher, "oracle",
          absl::StrJoin(backflip::teachers::Teachers(), "; ",
                        [](std::string* out, const backflip::teachers::NamedTeacher& teacher) {
                          absl::StrAppend(out, teacher.name, ": ", teacher.words);
                        }));
ABSL_FLAG(uint64_t, seed, 1, "seed of the teacher's draws");
ABSL_FLAG(double, labels_per_minute, 0, "rate of the answers; 0: as fast as possible");
ABSL_FLAG(int, count, 8, "questions to hold at once, 1 to 16");
ABSL_FLAG(double, never_answer_share, 0,
          "fault model: share of the leases that are left until they run out, 0 to 1");
ABSL_FLAG(double, answer_twice_share, 0,
          "fault model: share of the answers that are sent twice, 0 to 1");

namespace backflip::labeler {
namespace {

absl::Status Main() {
  if (absl::GetFlag(FLAGS_broker).empty()) {
    return absl::InvalidArgumentError("--broker is missing: the address of the preference-broker");
  }
  TeacherClientConfig config;
  config.run_id = absl::GetFlag(FLAGS_run);
  config.count = absl::GetFlag(FLAGS_count);
  config.labels_per_minute = absl::GetFlag(FLAGS_labels_per_minute);
  config.never_answer = absl::GetFlag(FLAGS_never_answer_share);
  config.answer_twice = absl::GetFlag(FLAGS_answer_twice_share);
  RETURN_IF_ERROR(Validate(config));
  ASSIGN_OR_RETURN(const teachers::TeacherTraits traits,
                   teachers::TraitsOf(absl::GetFlag(FLAGS_teacher)));
  ASSIGN_OR_RETURN(std::string token, rpc::ReadTokenFile(absl::GetFlag(FLAGS_token_file)));

  base::ShutdownSignal shutdown;
  TeacherClient client(rpc::Client(absl::GetFlag(FLAGS_broker), std::move(token)), config,
                       teachers::Teacher(traits, absl::GetFlag(FLAGS_seed)));
  client.Start();
  std::thread drain([&] {
    shutdown.Wait();
    client.Drain();
  });
  const absl::Status status = client.Wait();
  shutdown.Request();
  drain.join();
  return status;
}

}  // namespace
}  // namespace backflip::labeler

int main(int argc, char** argv) {
  backflip::base::InitProgram(
      argc, argv, "labeler",
      "A simulated teacher: leases questions from a preference-broker and answers them by the "
      "clips' true rewards.");
  const absl::Status status = backflip::labeler::Main();
  if (status.ok()) return EXIT_SUCCESS;
  backflip::base::LogError("the teacher cannot work", {{"reason", status.message()}});
  return EXIT_FAILURE;
}
