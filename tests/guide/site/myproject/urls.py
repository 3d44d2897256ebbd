"""Addresses of the documented views."""

from django.urls import path
from myapp import lifecycle, result_views, views

urlpatterns = [
    path("start/", lifecycle.start_task_view),
    path("check/<str:task_id>/", lifecycle.check_task_status_view),
    path("welcome/", views.send_welcome_email_view),
    path("profile/", views.update_user_profile_view),
    path("publish/", views.batch_publish_posts_view),
    path("migrate/", views.start_data_migration_view),
    path("upload/", views.process_uploaded_file_view),
    path("status/<str:task_id>/", result_views.get_task_status_view),
    path("wait/<str:task_id>/", result_views.wait_for_task_result_view),
    path("revoke/<str:task_id>/", result_views.revoke_task_view),
    path("active/", result_views.list_active_tasks_view),
]
