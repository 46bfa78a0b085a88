#include "common/sim/mujoco/scaffold.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace backflip::sim {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

constexpr char kRobot[] = R"(<mujoco>
  <compiler meshdir="assets"/>
  <asset><mesh name="box" file="box.obj" scale=".1 .1 .1"/></asset>
  <worldbody>
    <light pos="0 0 3"/>
    <geom name="floor" type="plane" size="0 0 1"/>
    <body name="base" pos="0 0 1">
      <freejoint/>
      <geom type="mesh" mesh="box"/>
      <body name="wheel" pos="0 0.2 0">
        <joint name="axle" axis="0 1 0"/>
        <geom type="cylinder" size="0.1 0.02" zaxis="0 1 0"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor name="drive" joint="axle" ctrlrange="-1 1"/></actuator>
</mujoco>)";
constexpr char kBox[] =
    "v -1 -1 -1\nv 1 -1 -1\nv 1 1 -1\nv -1 1 -1\nv -1 -1 1\nv 1 -1 1\nv 1 1 1\n"
    "v -1 1 1\nf 1 2 3 4\nf 5 8 7 6\nf 1 5 6 2\nf 2 6 7 3\nf 3 7 8 4\nf 4 8 5 1\n";

class Scaffold : public testing::Test {
 protected:
  Scaffold() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    root_ = testing::TempDir() + "/scaffold_" + info->name();
    fs::remove_all(root_);
    fs::create_directories(root_ + "/robot/assets");
    std::ofstream(root_ + "/robot/my-robot.xml") << kRobot;
    std::ofstream(root_ + "/robot/assets/box.obj") << kBox;
    std::ofstream(root_ + "/robot/unrelated.xml") << "<mujoco/>";
  }
  ~Scaffold() override { fs::remove_all(root_); }

  static absl::StatusOr<NewTask> Make(const std::string& model, const std::string& folder) {
    return ScaffoldTask(model, folder, [](absl::string_view) {});
  }
  // Of a model by itself, in the folder `t`.
  absl::StatusOr<NewTask> MakeFrom(const std::string& model) {
    std::ofstream(root_ + "/robot/made.xml", std::ios::binary) << model;
    return Make(root_ + "/robot/made.xml", root_ + "/t");
  }
  // One hinge, `j`.
  static std::string Arm(const std::string& option, const std::string& actuators) {
    return absl::StrCat(
        "<mujoco><option ", option, "/><worldbody><body name=\"body\">",
        "<joint name='j' axis='0 1 0' damping='0.1'/><geom type='capsule' fromto='0 0 0 0 0 -.4' ",
        "size='.05'/></body></worldbody><actuator>", actuators, "</actuator></mujoco>");
  }

  std::string root_;
};

TEST_F(Scaffold, MakesATaskThatLoadsFromAModelWithMeshes) {
  const auto made = Make(root_ + "/robot/my-robot.xml", root_ + "/my-task");
  ASSERT_TRUE(made.ok()) << made.status();
  const auto task = Task::FromFolder(root_ + "/my-task");
  ASSERT_TRUE(task.ok()) << task.status();
  EXPECT_EQ((*task)->name(), "my_task");
  EXPECT_EQ((*task)->bundle().hash, made->task->bundle().hash);
  // height, which way is up; sine and cosine of the wheel; 7 velocities
  EXPECT_EQ((*task)->observation_size(), 4 + 2 + 7);
  EXPECT_GE((*task)->step_seconds(), 1 / 125.0);
  EXPECT_LE((*task)->step_seconds(), 1 / 50.0);
  EXPECT_FALSE((*task)->has_true_reward());
  EXPECT_FALSE(fs::exists(root_ + "/my-task/unrelated.xml"));
}

TEST_F(Scaffold, WorksOnTheHopper) {
  const auto made = Make(BACKFLIP_TASKS "/hopper/model.xml", root_ + "/hopper");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->task->observation_size(), 12);
}

TEST_F(Scaffold, LeavesNothingBehindWhenItFails) {
  std::ofstream(root_ + "/robot/my-robot.xml") << "<mujoco><worldbody/></mujoco>";
  const auto none = Make(root_ + "/robot/my-robot.xml", root_ + "/t");
  EXPECT_THAT(std::string(none.status().message()), testing::HasSubstr("no actuator"));
  EXPECT_FALSE(fs::exists(root_ + "/t"));
  EXPECT_FALSE(fs::exists(root_ + "/t.draft"));
  EXPECT_EQ(Make(root_ + "/nope.xml", root_ + "/t").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(Scaffold, KeepsWhatIsThere) {
  fs::create_directories(root_ + "/t");
  const absl::Status taken = Make(root_ + "/robot/my-robot.xml", root_ + "/t").status();
  EXPECT_EQ(taken.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(taken.message()), HasSubstr("FOLDER"));
}

TEST_F(Scaffold, ActionSizeIsTheNumberOfControlsNotOfActuators) {
  const auto made = Make(BACKFLIP_MODELS "/controls.xml", root_ + "/t");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->task->action_size(), 3);
  EXPECT_THAT(made->remarks, Contains(AllOf(HasSubstr("2 of 3 controls have no range"),
                                            HasSubstr("servo ±1 rad"))));
}

TEST_F(Scaffold, SaysWhatOneMeansToAMotorWithoutARange) {
  const auto made = MakeFrom(Arm("timestep='0.002'", "<motor name='m' joint='j' gear='30'/>"));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->remarks, Contains(HasSubstr("m ±30 N·m")));
}

TEST_F(Scaffold, ObservesActivations) {
  const auto made = Make(BACKFLIP_MODELS "/muscles.xml", root_ + "/t");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(made->task->task().observation().has_act());
  EXPECT_EQ(made->task->observation_size(), 1 + 1 + 2);
  EXPECT_THAT(made->remarks, Contains(HasSubstr("2 activations")));
}

TEST_F(Scaffold, TakesUrdfWithMeshesOfItsPackage) {
  const auto made = Make(BACKFLIP_MODELS "/arm.urdf", root_ + "/t");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->task->task().model(), "arm.xml");
  EXPECT_EQ(made->task->action_size(), 2);
  EXPECT_TRUE(fs::exists(root_ + "/t/meshes/base.obj"));
  EXPECT_THAT(made->remarks, Contains(HasSubstr("fixed to the world")));
  EXPECT_THAT(made->remarks, Contains(AllOf(HasSubstr("effort"), HasSubstr("wrist"))));
}

TEST_F(Scaffold, UrdfWithLegsStandsFreelyOnTheFloor) {
  const std::string leg =
      "<link name='legN'><inertial><mass value='1'/><inertia ixx='.1' ixy='0' ixz='0' iyy='.1' "
      "iyz='0' izz='.1'/></inertial><collision><origin xyz='0 0 -.2'/><geometry><cylinder "
      "radius='.05' length='.4'/></geometry></collision></link><joint name='hipN' "
      "type='revolute'><parent link='base'/><child link='legN'/><axis xyz='0 1 0'/><limit "
      "lower='-1' upper='1' effort='9' velocity='1'/></joint>";
  const auto made = MakeFrom(absl::StrCat(
      "<robot name='two'><link name='base'><inertial><mass value='1'/><inertia ixx='.1' ixy='0' "
      "ixz='0' iyy='.1' iyz='0' izz='.1'/></inertial></link>",
      absl::StrReplaceAll(leg, {{"N", "1"}}), absl::StrReplaceAll(leg, {{"N", "2"}}), "</robot>"));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->remarks, Contains(HasSubstr("free to move")));
  EXPECT_TRUE(made->task->task().observation().body_axes());
  // time, then where the base is
  EXPECT_NEAR(made->states[3], 0.4, 0.01);
}

TEST_F(Scaffold, TakesFilesFromBesideTheModelsFolder) {
  fs::create_directories(root_ + "/parts/entry");
  std::ofstream(root_ + "/parts/shared.xml")
      << "<mujoco><worldbody><geom size='1'/></worldbody></mujoco>";
  std::ofstream(root_ + "/parts/entry/robot.xml")
      << absl::StrReplaceAll(Arm("", "<motor joint='j'/>"),
                             {{"<worldbody>", "<include file='../shared.xml'/><worldbody>"}});
  const auto made = Make(root_ + "/parts/entry/robot.xml", root_ + "/t");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->task->task().model(), "entry/robot.xml");
  EXPECT_TRUE(fs::exists(root_ + "/t/shared.xml"));
}

TEST_F(Scaffold, TakesNamesWithQuotesAndNamesThatAreNoUtf8) {
  for (const std::string name : {"torso \"main\"", "Fu\xdf", "back\\slash", "Füße"}) {
    const auto made = MakeFrom(absl::StrReplaceAll(
        Arm("", "<motor joint='j'/>"), {{"name=\"body\"", absl::StrCat("name='", name, "'")}}));
    ASSERT_TRUE(made.ok()) << name << made.status();
    EXPECT_EQ(made->task->task().camera().track(), name == "Fu\xdf" ? "" : name);
    fs::remove_all(root_ + "/t");
  }
}

TEST_F(Scaffold, WritesATaskForARobotThatDiverges) {
  const auto made =
      MakeFrom(Arm("timestep='0.05'", "<position joint='j' kp='1e7' ctrlrange='-3 3' kv='0'/>"));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->remarks,
              Contains(AllOf(HasSubstr("diverged at step "), HasSubstr("timestep"))));
  EXPECT_FALSE(made->states.empty());
}

TEST_F(Scaffold, ClipsAreShownForOneAndAHalfSecondsWhateverTheTimestep) {
  for (const std::string timestep : {"1e-6", "1e-5", "0.002", "0.03", "1"}) {
    const auto made = MakeFrom(Arm(absl::StrCat("timestep='", timestep, "'"),
                                   "<motor joint='j' ctrlrange='-1e-3 1e-3'/>"));
    ASSERT_TRUE(made.ok()) << made.status();
    const auto& clip = made->task->task().clip();
    EXPECT_NEAR(clip.steps() / clip.playback_fps(), 1.5, 0.6) << timestep;
    fs::remove_all(root_ + "/t");
  }
}

TEST_F(Scaffold, SaysThatThereIsNoFloorUnderAFreeRobot) {
  const auto made = MakeFrom(absl::StrReplaceAll(
      Arm("", "<motor joint='j'/>"),
      {{"<body name=\"body\">",
        "<body name=\"base\"><freejoint/><geom size='.1'/><body name=\"body\">"},
       {"</body>", "</body></body>"}}));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->remarks, Contains(HasSubstr("no floor")));
}

}  // namespace
}  // namespace backflip::sim
