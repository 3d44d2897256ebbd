from django.tasks import task, get_task_backend
from django.http import JsonResponse
import time

@task
def long_running_task(duration, task_name):
    """Demonstrate task lifecycle."""
    print(f"Task {task_name} started")
    
    for i in range(duration):
        time.sleep(1)
        print(f"Task {task_name} progress: {i+1}/{duration}")
    
    result = f"Task {task_name} completed after {duration} seconds"
    print(result)
    return result

def start_task_view(request):
    """Start a background task."""
    # Enqueue the task
    task_result = long_running_task.delay(5, "example-task")
    
    return JsonResponse({
        'task_id': task_result.id,
        'status': 'started',
        'message': 'Task has been queued'
    })

def check_task_status_view(request, task_id):
    """Check task status."""
    backend = get_task_backend()
    task_result = backend.get_result(task_id)
    
    return JsonResponse({
        'task_id': task_id,
        'status': task_result.status,
        'result': task_result.result if task_result.ready() else None,
        'progress': task_result.progress if hasattr(task_result, 'progress') else None
    })
